"""The script equals the reference, number by number, whatever the order, ties, lateness, bounds and concurrency."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from contract.settings import Settings
from contract.windows import DAY_MS, ENTITIES, HOUR_MS, MINUTE_MS
from scoring.ports import WindowUpdate
from scoring.store.redis_store import RedisStore
from scoring.store.space import KeySpace
from support.reference import aggregates
from support.window_updates import START_MS, differences, window_update

pytestmark = pytest.mark.integration

WAIT_S = 20.0
STEPS_MS = (
    0, 0, 1, 1000, MINUTE_MS - 1, MINUTE_MS, MINUTE_MS + 1, 10 * MINUTE_MS, HOUR_MS - 1, HOUR_MS, 6 * HOUR_MS, DAY_MS - 1, DAY_MS,
    3 * DAY_MS, 7 * DAY_MS, 8 * DAY_MS, 31 * DAY_MS, 60 * DAY_MS,
)  # fmt: skip
BOUNDS = [(1024, 64), (2, 1), (3, 2), (5, 3), (10, 5)]


@dataclass(frozen=True)
class Step:
    forward_ms: int
    back_ms: int
    amount: int
    names: tuple[int | None, ...]
    aliases: tuple[int | None, ...]
    repeats: int | None
    """Sends an earlier transaction again instead."""


def steps(longest: int) -> st.SearchStrategy[Step]:
    spans = st.sampled_from(STEPS_MS[:longest])
    names = st.tuples(*(st.none() | st.integers(0, 2) for _ in ENTITIES))
    nothing = st.just((None,) * len(ENTITIES))
    return st.builds(
        Step,
        forward_ms=spans,
        back_ms=st.just(0) | st.just(0) | st.sampled_from(STEPS_MS),
        amount=st.integers(0, 50_000) | st.integers(0, 10**12),
        names=names,
        aliases=nothing | nothing | names,
        repeats=st.none() | st.none() | st.integers(0, 100),
    )


def sequence_of(plan: list[Step]) -> list[WindowUpdate]:
    now = START_MS
    made: list[WindowUpdate] = []
    for i, step in enumerate(plan):
        if step.repeats is not None and made:
            made.append(made[step.repeats % len(made)])
            continue
        now += step.forward_ms
        entities = tuple(None if name is None else f"v{name}" for name in step.names)
        aliases = tuple(None if name is None else f"v{name}" for name in step.aliases)
        made.append(
            WindowUpdate(
                f"t{i}", now - step.back_ms, step.amount, entities, aliases if any(aliases) else None, b"12345678"
            )
        )
    return made


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("longest", [5, 9, len(STEPS_MS)], ids=["seconds", "hours", "months"])
def test_windows_equal_the_reference(
    open_store: Callable[..., RedisStore],
    settings: Settings,
    fresh_namespace: Callable[[], str],
    bounds: tuple[int, int],
    longest: int,
) -> None:
    max_events, max_counterparts = bounds

    @hypothesis.settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(plan=st.lists(steps(longest), min_size=1, max_size=60), batch=st.integers(1, 30))
    def holds(plan: list[Step], batch: int) -> None:
        namespace = fresh_namespace()
        store = open_store(namespace=namespace, max_events=max_events, max_counterparts=max_counterparts)
        given = sequence_of(plan)
        tickets = [store.send(given[i : i + batch], "m", "r") for i in range(0, len(given), batch)]
        answers = [ticket.wait(WAIT_S) for ticket in tickets]
        matrix = np.concatenate([answer.aggregates for answer in answers])
        sequence = np.concatenate([answer.applied_seq for answer in answers]).tolist()
        assert sorted(set(sequence)) == list(range(1, len({one.transaction_id for one in given}) + 1))
        expected = aggregates(
            zip(sequence, given, strict=True), max_events=max_events, max_counterparts=max_counterparts
        )
        assert differences(matrix, expected) == []
        KeySpace(settings, namespace).drop()
        store.close()

    holds()


@pytest.mark.parametrize("after_ms", [-1, 0, 1])
def test_what_was_pushed_out_saturates_until_the_very_millisecond(
    open_store: Callable[..., RedisStore], after_ms: int
) -> None:
    events = [window_update(str(i), 0, card="x", device=f"d{i}") for i in range(5)]
    events += [
        window_update("day", DAY_MS + after_ms, card="x"),
        window_update("week", 7 * DAY_MS + after_ms, card="x"),
    ]
    for bounds in ({"max_events": 2, "max_counterparts": 64}, {"max_events": 1024, "max_counterparts": 1}):
        applied = open_store(namespace=f"bound:{bounds['max_events']}", **bounds).send(events, "m", "r").wait(WAIT_S)
        assert differences(applied.aggregates, aggregates(enumerate(events, 1), **bounds)) == []


def test_bytes_that_look_like_a_counterpart_across_two_fields_are_not_taken_for_it(
    open_store: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    time_bytes = START_MS.to_bytes(6, "little")
    hashes = {b"d1": b"12345678", b"d2": b"345678" + time_bytes[:2]}
    monkeypatch.setattr("scoring.store.window_updates.hash_counterpart", lambda value: hashes.get(value, b"********"))
    events = [window_update("a", 0, card="x", device="d1"), window_update("b", 1, card="x", device="d2")]
    events.append(window_update("c", 2, card="x", device="d2"))
    applied = open_store().send(events, "m", "r").wait(WAIT_S)
    assert differences(applied.aggregates, aggregates(enumerate(events, 1))) == []


def crowd(chance: random.Random, count: int) -> list[WindowUpdate]:
    """A busy shop: few entities, most events in order, some late by up to hours."""
    made, now = [], START_MS
    for i in range(count):
        now += chance.choice((0, 3_000, 20_000))
        late = chance.choice((0, 0, 0, 5, 40_000, 3 * HOUR_MS))
        entities = tuple(f"v{chance.randrange(6)}" if chance.random() < 0.8 else None for _ in ENTITIES)
        made.append(WindowUpdate(f"t{i}", now - late, chance.randrange(10**6), entities, None, b"12345678"))
    return made


def test_many_events_of_few_entities_pass_through_compaction_exactly(
    open_store: Callable[..., RedisStore], chance: random.Random
) -> None:
    given = crowd(chance, 3_000)
    bounds = {"max_events": 150, "max_counterparts": 4}
    store = open_store(**bounds)
    applied = store.send(given, "m", "r").wait(60)
    assert differences(applied.aggregates, aggregates(enumerate(given, 1), **bounds)) == []


def test_workers_that_share_entities_and_transactions_agree_with_the_reference_in_applied_order(
    open_store: Callable[..., RedisStore], chance: random.Random
) -> None:
    given = crowd(chance, 600)
    answers: list[list[tuple[int, WindowUpdate, bool, Any]]] = [[] for _ in range(4)]

    def work(store: RedisStore, share: list[WindowUpdate], into: list[tuple[int, WindowUpdate, bool, Any]]) -> None:
        for i in range(0, len(share), 7):
            part = share[i : i + 7]
            applied = store.send(part, "m", "r").wait(WAIT_S)
            into.extend(
                zip(applied.applied_seq.tolist(), part, applied.first.tolist(), applied.aggregates, strict=True)
            )

    threads = []
    for answer in answers:
        share = chance.sample(given, 450)
        threads.append(threading.Thread(target=work, args=(open_store(), share, answer)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [row for answer in answers for row in answer]
    assert len(rows) == 4 * 450
    distinct = {one.transaction_id for _, one, _, _ in rows}
    assert sum(first for _, _, first, _ in rows) == len(distinct)
    assert {applied_seq for applied_seq, _, _, _ in rows} == set(range(1, len(distinct) + 1))
    matrix = np.array([row for _, _, _, row in rows])
    assert differences(matrix, aggregates([(applied_seq, one) for applied_seq, one, _, _ in rows])) == []
