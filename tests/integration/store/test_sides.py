"""Risk and habits in the script equal the reference, number by number, whatever the order of events and outcomes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.settings import Settings
from contract.windows import DAY_MS, ENTITIES, HOUR_MS
from scoring.features import encode_entities
from scoring.ports import Finding, WindowUpdate
from scoring.store.keys import Keys
from scoring.store.outcomes import decode_entities
from scoring.store.redis_store import RedisStore
from scoring.store.space import KeySpace
from support.reference import Reference
from support.window_updates import START_MS, column, differences, window_update
from tillguard.wiring.stores import make_window_store

pytestmark = pytest.mark.integration

WAIT_S = 20.0
STEPS_MS = (0, 1_000, HOUR_MS, 5 * HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS, 8 * DAY_MS, 33 * DAY_MS)


@dataclass(frozen=True)
class Step:
    forward_ms: int
    back_ms: int
    amount: int
    names: tuple[int | None, ...]
    outcome: tuple[int, str] | None
    """What becomes known first: of which earlier transaction, and what."""


def steps() -> st.SearchStrategy[Step]:
    name = st.none() | st.integers(0, 1)
    return st.builds(
        Step,
        forward_ms=st.sampled_from(STEPS_MS[:6]) | st.sampled_from(STEPS_MS),
        back_ms=st.just(0) | st.just(0) | st.just(0) | st.sampled_from(STEPS_MS),
        amount=st.sampled_from((100, 110, 120, 300, 251, 2_000, 10**12, 0)),
        names=st.tuples(*(name for _ in ENTITIES)),
        outcome=st.none() | st.tuples(st.integers(0, 100), st.sampled_from("gfpfp")),
    )


def finding(of: WindowUpdate, outcome: str) -> Finding:
    entities = decode_entities(encode_entities(of))
    return Finding(of.transaction_id, of.event_time_ms, entities, outcome != "g", outcome == "p")


@pytest.mark.parametrize("label_delay_days", [0.0, 0.25, 7.0])
def test_risk_and_habits_equal_the_reference(
    open_store: Callable[..., RedisStore],
    settings_with_delay: Callable[[float], Settings],
    fresh_namespace: Callable[[], str],
    label_delay_days: float,
) -> None:
    configured = settings_with_delay(label_delay_days)

    @settings(suppress_health_check=list(HealthCheck))
    @given(plan=st.lists(steps(), min_size=1, max_size=60))
    def holds(plan: list[Step]) -> None:
        namespace = fresh_namespace()
        store = make_window_store(configured, namespace)
        reference = Reference(label_delay_days=label_delay_days)
        made: list[WindowUpdate] = []
        tickets: list[Any] = []
        expected: list[list[float]] = []
        now = START_MS
        for i, step in enumerate(plan):
            if step.outcome is not None and made:
                found = finding(made[step.outcome[0] % len(made)], step.outcome[1])
                told = store.learn([found])
                assert told.wait(WAIT_S) == int(reference.learn(found))
            now += step.forward_ms
            entities = tuple(None if name is None else f"v{name}" for name in step.names)
            made.append(WindowUpdate(f"t{i}", now - step.back_ms, step.amount, entities, None, b"12345678"))
            tickets.append(store.send(made[-1:], "m", "r"))
            expected.append(reference.apply(i + 1, made[-1]))
        matrix = np.concatenate([ticket.wait(WAIT_S).aggregates for ticket in tickets])
        assert differences(matrix, np.array(expected)) == []
        KeySpace(configured, namespace).drop()
        store.close()

    holds()


@pytest.fixture
def settings_with_delay(settings: Settings) -> Callable[[float], Settings]:
    def make(days: float) -> Settings:
        trainer = settings.trainer.model_copy(update={"label_delay_days": days})
        return settings.model_copy(update={"trainer": trainer})

    return make


def number(applied: Any, name: str, row: int = -1) -> float:
    return float(applied.aggregates[row, column(name)])


def test_a_fraud_counts_behind_the_delay_with_the_transactions_that_the_windows_knew(
    open_store: Callable[..., RedisStore],
) -> None:
    store = open_store()
    events = [window_update(f"d{day}", day * DAY_MS, terminal="till") for day in range(10)]
    store.send(events[:8], "m", "r").wait(WAIT_S)
    assert store.learn([finding(events[0], "p")]).wait(WAIT_S) == 1
    assert store.learn([finding(events[0], "p")]).wait(WAIT_S) == 0
    applied = store.send(events[8:], "m", "r").wait(WAIT_S)
    assert [number(applied, "terminal.plain_frauds_7d", row) for row in (0, 1)] == [1, 1]
    assert [number(applied, "terminal.seen_7d", row) for row in (0, 1)] == [2, 3]
    assert number(applied, "terminal.genuine_since_plain_fraud") == 2
    assert number(applied, "terminal.frauds_early") == 0


def test_a_revised_label_takes_its_fraud_back_and_leaves_no_key_behind(
    open_store: Callable[..., RedisStore], settings: Settings
) -> None:
    store = open_store()
    event = window_update("a", 0, device="d")
    store.send([event], "m", "r").wait(WAIT_S)
    store.learn([finding(event, "f"), finding(event, "g")]).wait(WAIT_S)
    applied = store.send([window_update("b", 8 * DAY_MS, device="d")], "m", "r").wait(WAIT_S)
    assert number(applied, "device.frauds_30d") == 0
    assert np.isnan(number(applied, "device.since_fraud_ms"))
    side = Keys(settings.retailer).name_side(2, decode_entities(encode_entities(event))[0][1])
    space = KeySpace(settings)
    assert space.erase("device", "d") > 0
    assert space._client.run(lambda client: client.exists(side)) == 0


def test_an_outcome_survives_a_lost_script_and_a_redelivery_repeats_what_was_seen(
    open_store: Callable[..., RedisStore], redis_client: Any
) -> None:
    store = open_store()
    first = window_update("a", 0, card="x", customer="c")
    second = window_update("b", 8 * DAY_MS, card="x", customer="c")
    store.send([first], "m", "r").wait(WAIT_S)
    redis_client.script_flush()
    assert store.learn([finding(first, "f")]).wait(WAIT_S) == 1
    seen = store.send([second], "m", "r").wait(WAIT_S)
    store.learn([finding(first, "g")]).wait(WAIT_S)
    again = store.send([second], "m", "r").wait(WAIT_S)
    assert number(seen, "card.frauds_30d") == 1
    assert differences(again.aggregates, seen.aggregates) == []
