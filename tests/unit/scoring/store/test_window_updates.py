import struct

import hiredis
import numpy as np
import pytest

from contract.windows import ENTITY_NAMES, hash_counterpart
from scoring.ports import ListHit, SnoozeHit
from scoring.store.keys import Keys
from scoring.store.scripts import load_script
from scoring.store.window_updates import COLUMNS, Bounds, ReplyReader, WindowUpdatePacker, encode_layout
from support.window_updates import START_MS, column, window_update

BOUNDS = Bounds(idle_s=60, sight_s=30, max_events=9, max_counterparts=7, label_delay_s=4, horizon_tiles=8)


def packed(*window_updates: object, packer: WindowUpdatePacker | None = None) -> list[list[bytes]]:
    packer = packer or WindowUpdatePacker(Keys("shop"), b"f" * 40, BOUNDS)
    reader = hiredis.Reader()
    commands = []
    for command in packer.pack(window_updates, packer.pack_shared(5, "m1", "r1")):  # type: ignore[arg-type]
        reader.feed(command)
        commands.append(reader.gets())
        assert reader.gets() is False
    return commands


def mask(*names: str) -> int:
    return sum(1 << ENTITY_NAMES.index(name) for name in names)


def reply(names: tuple[str, ...], body: bytes, *, flag: bytes = b"1", wide: int = 0, marks: bytes = b"") -> bytes:
    head = struct.pack("<QHHBBB", 3, mask(*names), wide, 2, 2, len(marks) // 2)
    return flag + b"digest-1" + head + b"m1r1" + marks + body


def test_a_window_update_is_one_command_with_every_key_named() -> None:
    command = packed(window_update("t-1", 7, 12_345, customer="c", card="x"))[0]
    assert command[:3] == [b"EVALSHA", b"f" * 40, b"5"]
    assert command[3:8] == [
        b"{shop}live/sight/t-1", b"{shop}live/seq", b"{shop}live/marks", b"{shop}live/customer/c", b"{shop}live/card/x",
    ]  # fmt: skip
    event, shared, places = command[8:]
    assert event[:6] == (START_MS + 7).to_bytes(6, "little")
    assert event[6:12] == (12_345).to_bytes(6, "little")
    assert event[12:] == b"digest-1" + hash_counterpart(b"c") + hash_counterpart(b"x")
    assert shared == struct.pack("<IIIHBBBIH", 5, 60, 30, 9, 7, 2, 2, 4, 8) + b"m1r1"
    assert places == encode_layout(mask("customer", "card"))


def test_the_layout_says_where_each_entity_finds_its_counterparts() -> None:
    assert encode_layout(mask("customer", "card")) == struct.pack("<BH", 2, 3) + bytes([128, 129]) + bytes(
        [2, 2, 0]
    ) + bytes([1, 0])


def test_an_alias_follows_with_its_key_place_and_hash() -> None:
    command = packed(window_update("t", card="x", ip="new", aliases={"ip": "old", "card": "x", "email": "unnamed"}))[0]
    assert command[2] == b"6"
    assert command[8] == b"{shop}live/ip/old"
    assert command[9][36:] == b"\x02" + hash_counterpart(b"old")


def test_values_are_packed_alike_whether_seen_before_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoring.store.window_updates.CACHE_VALUES_MAX", 2)
    packer = WindowUpdatePacker(Keys("shop"), b"f" * 40, BOUNDS)
    many = [window_update("t", card=f"c{i % 5}") for i in range(20)]
    assert packed(*many, packer=packer)[10] == packed(many[10])[0]
    assert all(len(fragments) <= 2 for fragments in packer._fragments)


def test_a_version_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="255 bytes"):
        WindowUpdatePacker(Keys("shop"), b"", BOUNDS).pack_shared(0, "m" * 256, "r")


def test_numbers_come_back_in_their_columns_and_what_is_missing_is_nan() -> None:
    numbers = [*range(1, 13), 0xFFFFFFFF, 21, 22, 23, 0xFFFFFFFF, 1]
    applied = ReplyReader().read_replies([reply(("card",), struct.pack("<18I", *numbers))])
    assert applied.aggregates.shape == (1, COLUMNS)
    first = column("card.count_1m")
    row = applied.aggregates[0]
    assert row[first : first + 12].tolist() == list(range(1, 13))
    assert np.isnan(row[first + 12])
    assert row[first + 13 : first + 16].tolist() == [21, 22, 23]
    assert np.isnan(row[first + 16])
    assert row[first + 17] == 1
    # as a worker of schema v1 wrote it: what came later is missing
    assert np.isnan(np.delete(row, range(first, first + 18))).all()


def test_habit_and_risk_come_back_in_their_columns_and_an_entity_without_risk_has_zeros() -> None:
    habit = struct.pack("<IdBBBBII", 4, 900.0, 0, 1, 2, 3, 9_000, 0xFFFFFFFF)
    risk = struct.pack("<10I3d2I", *range(1, 11), 100.0, -1.0, 300.0, 7, 8)
    body = struct.pack("<36I", *range(36)) + habit + risk
    head = struct.pack("<QBBBBBBB", 3, mask("card", "email"), 0b10, 0, 1, 2, 2, 0)
    row = ReplyReader().read_replies([b"1digest-1" + head + b"m1r1" + body]).aggregates[0]
    first = column("card.usual_count")
    assert row[first : first + 7].tolist() == [4, 900, 0, 1, 2, 3, 9_000]
    assert np.isnan(row[column("card.since_unusual_ms")])
    assert row[column("email.frauds_1d") : column("email.frauds_early") + 1].tolist() == list(range(1, 11))
    assert row[column("email.since_fraud_ms")] == 100
    assert row[column("email.genuine_since_fraud")] == 7
    assert np.isnan(row[column("email.since_plain_fraud_ms")])
    assert np.isnan(row[column("email.genuine_since_plain_fraud")])
    assert row[column("card.frauds_30d")] == 0
    assert np.isnan(row[column("card.since_fraud_ms")])
    assert np.isnan(row[column("customer.frauds_30d")])


def test_numbers_beyond_32_bits_come_back_exactly() -> None:
    body = struct.pack("<13d5I", *range(1, 12), 2.0**52 + 1, -1, 1, 1, 1, 5, 0) + struct.pack("<18I", *range(18))
    row = ReplyReader().read_replies([reply(("card", "email"), body, wide=1)]).aggregates[0]
    assert row[column("card.sum_30d")] == 2.0**52 + 1
    assert np.isnan(row[column("card.since_last_ms")])
    assert row[column("card.since_device_ms")] == 5
    assert row[column("email.count_1m")] == 0
    assert row[column("email.saturated")] == 17


def test_flags_versions_and_marks_are_those_of_the_record() -> None:
    body = struct.pack("<36I", *range(36))
    replies = [
        reply(("card", "email"), body, flag=flag, marks=marks)
        for flag, marks in ((b"1", b"\x01d\x02w"), (b"0", b""), (b"2", b""))
    ]
    applied = ReplyReader().read_replies(replies)
    assert applied.first.tolist() == [True, False, False]
    assert applied.conflict.tolist() == [False, False, True]
    assert applied.marks == [(ListHit("card", "deny"), ListHit("email", "watch")), (), ()]
    assert (applied.model_versions, applied.rules_versions) == (["m1"] * 3, ["r1"] * 3)
    assert applied.applied_seq.tolist() == [3, 3, 3]


@pytest.mark.parametrize("rule", ["a", "ab", "r" * 64])
def test_snoozes_come_back_between_marks_whatever_their_length(rule: str) -> None:
    body = struct.pack("<36I", *range(36))
    snooze = b"\x02s" + bytes([len(rule)]) + rule.encode() + b"\0" * (1 - len(rule) % 2)
    applied = ReplyReader().read_replies([reply(("card", "email"), body, marks=b"\x01w" + snooze + b"\x02d")])
    assert applied.marks == [(ListHit("card", "watch"), ListHit("email", "deny"))]
    assert applied.snoozes == [(SnoozeHit("email", rule),)]


def test_numbers_beyond_32_bits_come_back_beside_habit_and_risk_and_for_no_entity_at_all() -> None:
    habit = struct.pack("<IdBBBBII", 4, 900.0, 0, 1, 2, 3, 9_000, 7)
    risk = struct.pack("<10I3d2I", *range(1, 11), 100.0, -1.0, 300.0, 7, 8)
    body = struct.pack("<13d5I", *range(18)) + struct.pack("<18I", *range(18)) + habit + risk
    head = struct.pack("<QBBBBBBB", 3, mask("card", "email"), 0b10, 1, 1, 2, 2, 0)
    row = ReplyReader().read_replies([b"1digest-1" + head + b"m1r1" + body]).aggregates[0]
    assert row[column("card.sum_30d")] == 11
    assert row[column("card.usual_count")] == 4
    assert row[column("email.since_fraud_ms")] == 100
    nobody = ReplyReader().read_replies([reply((), b"")]).aggregates[0]
    assert not np.isfinite(nobody).any()


def test_versions_and_marks_of_many_kinds_are_kept_within_bounds() -> None:
    reader = ReplyReader()
    body, head = struct.pack("<18I", *range(18)), struct.pack("<QHHBBB", 3, mask("card"), 0, 4, 2, 0)
    applied = reader.read_replies([b"1digest-1" + head + b"%04dr1" % number + body for number in range(1_030)])
    assert applied.model_versions == [f"{number:04}" for number in range(1_030)]
    assert len(reader._pinned) <= 1_024


def test_some_window_updates_may_be_sent_with_other_versions() -> None:
    packer = WindowUpdatePacker(Keys("shop"), b"f" * 40, BOUNDS)
    updates = [window_update(name, card="x") for name in ("t-1", "t-2", "t-3")]
    shared, other = packer.pack_shared(5, "m1", "r1"), packer.pack_shared(5, "m2", "r1")
    first, second, third = packer.pack_apart(updates, shared, {1: other})
    assert [first, third] == [packer.pack(updates, shared)[0], packer.pack(updates, shared)[2]]
    assert second == packer.pack(updates, other)[1]


def test_an_empty_batch_is_an_empty_answer() -> None:
    applied = ReplyReader().read_replies([])
    assert applied.aggregates.shape == (0, COLUMNS)
    assert applied.first.tolist() == []


def test_the_script_holds_the_contracts_numbers_and_no_names_of_them() -> None:
    text = load_script("windows")
    assert "86400000" in text
    assert "WINDOW_4" not in text
    assert "TILES_A" not in text
