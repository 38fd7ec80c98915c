"""What became known of a transaction, as a command for the store."""

import pytest

from contract.clock import from_epoch_ms
from contract.errors import InvalidEventError
from contract.risk import TILE_MS, KnownOutcome
from contract.windows import ENTITIES
from scoring.ports import Finding
from scoring.store.keys import Keys
from scoring.store.link import encode_command
from scoring.store.outcomes import KNOWN_FOR, OutcomePacker, build_finding, decode_entities
from scoring.store.window_updates import Bounds

KEYS = Keys("shop")
ONE, TWO = b"1" * 8, b"2" * 8


def bounds(*, horizon_tiles: int, idle_s: int) -> Bounds:
    return Bounds(idle_s, sight_s=60, max_events=9, max_counterparts=9, label_delay_s=60, horizon_tiles=horizon_tiles)


def test_each_entity_of_the_mask_has_eight_bytes() -> None:
    assert decode_entities(b"\x00\x00") == ()
    assert decode_entities(b"\x05\x00" + ONE + TWO) == ((0, ONE), (2, TWO))
    every = (1 << len(ENTITIES)) - 1
    assert len(decode_entities(every.to_bytes(2, "little") + ONE * len(ENTITIES))) == len(ENTITIES)


@pytest.mark.parametrize("entities", [b"\x05\x00" + ONE, b"\x01\x00" + ONE + b"x", b"\x00\x01" + ONE, b"\x01", b""])
def test_a_mask_that_does_not_fit_its_bytes_is_refused(entities: bytes) -> None:
    with pytest.raises(InvalidEventError, match="a mask of 2 bytes"):
        decode_entities(entities)


@pytest.mark.parametrize(("fraud", "plain", "kept"), [(True, True, True), (True, False, False), (False, True, False)])
def test_only_a_fraud_can_be_a_plain_one(fraud: bool, plain: bool, kept: bool) -> None:
    outcome = KnownOutcome(
        transaction_id="t-1", retailer="shop", event_time=from_epoch_ms(5 * TILE_MS + 1), entities=b"\x01\x00" + ONE, fraud=fraud, plain=plain,
        label_time=from_epoch_ms(6 * TILE_MS),
    )  # fmt: skip
    assert build_finding(outcome) == Finding("t-1", 5 * TILE_MS + 1, ((0, ONE),), fraud, kept)


@pytest.mark.parametrize(("fraud", "plain", "letter"), [(True, True, b"p"), (True, False, b"f"), (False, False, b"g")])
def test_a_finding_is_one_command_with_the_keys_of_its_entities(fraud: bool, plain: bool, letter: bytes) -> None:
    finding = Finding("t-1", 5 * TILE_MS + 7, ((0, ONE), (2, TWO)), fraud, plain)
    (command,) = OutcomePacker(KEYS, b"sha", bounds(horizon_tiles=10, idle_s=100)).pack([finding])
    keys = [KEYS.name_outcome("t-1"), KEYS.name_side(0, ONE), KEYS.name_side(2, TWO)]
    horizon_ms = 10 * TILE_MS
    tail = [b"%d" % (KNOWN_FOR * horizon_ms // 1000), b"%d" % horizon_ms, b"10"]
    assert command == encode_command(b"EVALSHA", b"sha", b"3", *keys, b"5", letter, *tail)


def test_what_is_known_of_an_entity_lives_as_long_as_the_entity_and_a_little_longer() -> None:
    (command,) = OutcomePacker(KEYS, b"sha", bounds(horizon_tiles=1, idle_s=864_000)).pack(
        [Finding("t", 0, (), True, False)]
    )
    assert b"%d" % (864_000 * 1000 * 33 // 32) in command
