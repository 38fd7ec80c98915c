"""What a running federation writes holds none of its secrets: not on the logs, not in a checkpoint, not in what it prints."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from federation.secagg.masked_sum import Transcript, derive_mask_key_seed
from federation.simulation.world import World
from federation.transports.ports import LOGS
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world, until_stage

PIECE = 32
"""Bytes of a seed; longer draws are several."""


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Every random byte that was drawn for a key, a mask, a share or noise, and every seed that was derived from them."""
    found: set[bytes] = set()
    draw = World._bytes

    def drawn(world: World, count: int) -> bytes:
        data = draw(world, count)
        found.update(data[start : start + PIECE] for start in range(0, count - PIECE + 1, PIECE))
        return data

    def kept(method: Callable[..., bytes]) -> Callable[..., bytes]:
        def keeping(*arguments: Any) -> bytes:
            data = method(*arguments)
            found.add(data)
            return data

        return keeping

    monkeypatch.setattr(World, "_bytes", drawn)
    monkeypatch.setattr("federation.secagg.member_side.derive_mask_key_seed", kept(derive_mask_key_seed))
    for name in ("derive_pair_seed", "derive_pair_mask", "derive_self_mask"):
        monkeypatch.setattr(Transcript, name, kept(getattr(Transcript, name)))
    return found


def written(world: World) -> bytes:
    """All records, all checkpoints, and what participants say of a failure."""
    records = [part for log in LOGS for one in world.broker.read(log, 0, 1_000_000) for part in (one.key, one.value)]
    stores = [world.store, *world._stores.values()]
    states = [checkpoint.state for store in stores for checkpoint in store._kept.values()]
    assert len(states) == len(stores), "everyone has stored something"
    reasons = [one.participant.last_failure.encode() for one in world.participants.values()]
    return b"\n".join([*records, *states, *reasons])


def leaks(secrets: set[bytes], haystack: bytes) -> list[str]:
    forms: dict[str, Callable[[bytes], bytes]] = {
        "raw": bytes,
        "hex": lambda secret: secret.hex().encode(),
        "base64": lambda secret: base64.b64encode(secret)[:40],
        "repr": lambda secret: repr(secret)[2:-1].encode(),
    }
    return [name for name, form in forms.items() for secret in secrets if form(secret) in haystack]


@pytest.mark.parametrize("mode", ["masked", "robust"])
def test_neither_a_round_nor_a_failed_attempt_writes_a_secret(
    mode: str, secrets: set[bytes], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    privacy = {"level": "client", "noise_multiplier": 1.0, "epsilon_max": 100.0}
    settings = small_settings(mode, privacy=privacy, robust={"rule": "mean"}, attempts_max=2)
    world = small_world(settings, 4)
    world.enrol_all()
    world.run_rounds(1)
    world.order_rounds(1)
    until_stage(world, "unmasking" if mode == "masked" else "updates")
    before = written(world)
    world.kill(["shop-0", "shop-1"])
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert [entry.kind for entry in ledger_of(world)].count("failure") == 2
    out, err = capfd.readouterr()
    haystack = before + written(world) + f"{out}\n{err}\n{caplog.text}".encode()
    # Two seeds of everyone's identity; masked: three of every member and attempt, coefficients, pairs; noise and rounding.
    assert len(secrets) > (100 if mode == "masked" else 15)
    assert leaks(secrets, haystack) == []
    one = min(secrets)
    assert leaks(secrets, haystack + one.hex().encode()) == ["hex"], "one would be found"
