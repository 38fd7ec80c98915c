"""What the live state covers stands in Redis, written with what it is about."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from contract.settings import Settings
from contract.windows import DAY_MS
from scoring.engine.coverage import Coverage
from scoring.ports import Finding
from scoring.store.client import RedisClient
from scoring.store.coverage import read_coverage
from scoring.store.keys import Keys
from scoring.store.redis_store import RedisStore
from support.tiny_model import tiny_manifest
from support.window_updates import window_update
from tillguard.operations.state_gaps import find_state_gaps

pytestmark = pytest.mark.integration

WAIT_S = 10.0


def read(settings: Settings) -> Coverage:
    with closing(RedisClient(settings.redis)) as client:
        return read_coverage(client, settings.retailer)


def found(number: int, *, fraud: bool) -> Finding:
    return Finding(f"o{number}", number, ((0, b"x" * 8),), fraud, plain=False)


def test_coverage_widens_with_what_is_applied_whoever_applies_it(
    open_store: Callable[..., RedisStore], settings: Settings
) -> None:
    assert read(settings) == Coverage()
    first, second = open_store(), open_store()
    middle, early, late = (window_update(name, hours, card="x") for name, hours in (("m", 5), ("e", 1), ("l", 9)))
    first.send([middle, late], "m", "r").wait(WAIT_S)
    assert read(settings) == Coverage(middle.event_time_ms)
    second.send([early], "m", "r").wait(WAIT_S)
    first.send([middle._replace(transaction_id="again")], "m", "r").wait(WAIT_S)
    assert read(settings) == Coverage(early.event_time_ms)
    assert first.learn([found(70, fraud=True), found(10, fraud=False), found(90, fraud=False)]).wait(WAIT_S) == 1
    assert second.learn([found(60, fraud=True)]).wait(WAIT_S) == 1
    assert read(settings) == Coverage(early.event_time_ms, 60, 70)
    assert second.learn([found(80, fraud=True), found(65, fraud=True)]).wait(WAIT_S) == 2
    assert read(settings) == Coverage(early.event_time_ms, 60, 80)


def test_a_replay_beside_the_live_state_leaves_its_coverage(
    open_store: Callable[..., RedisStore], settings: Settings, fresh_namespace: Callable[[], str]
) -> None:
    replay = open_store(namespace=fresh_namespace())
    replay.send([window_update("t", card="x")], "m", "r").wait(WAIT_S)
    assert read(settings) == Coverage()


def test_what_a_server_never_confirmed_is_sent_again(
    open_store: Callable[..., RedisStore], settings: Settings, keys: Keys, redis_client: Any
) -> None:
    store = open_store()
    seen = window_update("t", card="x")
    store.send([seen], "m", "r")  # nobody took the answer: it may be lost with the connection
    redis_client.delete(keys.coverage)
    store.send([seen._replace(transaction_id="u")], "m", "r").wait(WAIT_S)
    assert read(settings) == Coverage(seen.event_time_ms)


def test_the_look_for_drift_says_what_the_state_does_not_hold(
    open_store: Callable[..., RedisStore], settings: Settings
) -> None:
    seen = window_update("t", card="x")
    open_store().send([seen], "m", "r").wait(WAIT_S)
    kinds = [gap.kind for gap in find_state_gaps(settings, tiny_manifest(b"", risk=False), seen.event_time_ms)]
    assert kinds == ["windows"]
    kinds = [gap.kind for gap in find_state_gaps(settings, tiny_manifest(b""), seen.event_time_ms + 40 * DAY_MS)]
    assert kinds == ["risk"]
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1})})
    assert find_state_gaps(away, tiny_manifest(b""), seen.event_time_ms) == []
