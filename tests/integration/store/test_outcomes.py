"""What becomes known, from its topic into the store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from contract.clock import ManualClock
from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.metrics import Metrics
from contract.risk import KnownOutcome
from contract.settings import Settings
from scoring.features import encode_entities
from scoring.ports import RawEvent
from scoring.store.redis_store import RedisStore
from scoring.worker.risk_feed import OutcomeScorer
from support.window_updates import column, window_update
from tillguard.wiring.stores import make_window_store

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TILL = window_update("a", terminal="till")


def outcome(settings: Settings, **changes: Any) -> RawEvent:
    known: dict[str, Any] = {
        "transaction_id": "a", "retailer": settings.retailer, "event_time": NOW - timedelta(days=8),
        "entities": encode_entities(TILL), "fraud": True, "plain": True, "label_time": NOW,
    }  # fmt: skip
    return RawEvent(encode(KnownOutcome(**known | changes)), "shop.outcomes.v1", 3, 42, 0, b"a")


def scorer(store: RedisStore, settings: Settings, metrics: Metrics | None = None) -> OutcomeScorer:
    clock, timeout_s = ManualClock(NOW), settings.redis.timeout_s
    return OutcomeScorer(store, clock, metrics or Metrics(), admission=settings.admission, timeout_s=timeout_s)


def test_what_is_told_twice_counts_once(open_store: Callable[..., RedisStore], settings: Settings) -> None:
    store, metrics = open_store(), Metrics()
    told = scorer(store, settings, metrics)
    assert all(done.complete and done.dead_letter is None for done in told.collect([outcome(settings)] * 2))
    (again,) = told.retry([outcome(settings)])
    assert again.complete
    name, labels = "tillguard_scoring_outcomes_total", {"retailer": settings.retailer}
    assert metrics.registry.get_sample_value(name, labels) == 1
    at = int((NOW - timedelta(hours=6)).timestamp() * 1000)
    applied = store.send([TILL._replace(transaction_id="b", event_time_ms=at)], "m", "r").wait(20)
    assert applied.aggregates[0, column("terminal.plain_frauds_30d")] == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"retailer": "other"}, "retailer_mismatch"),
        ({"entities": b"\x01\x00123"}, "field_invalid"),
        ({"entities": b"\x00\x01" + b"x" * 8}, "field_invalid"),
        ({"event_time": NOW + timedelta(days=1)}, "time_future"),
    ],
)
def test_a_message_that_cannot_be_used_is_a_dead_letter_and_the_others_count(
    open_store: Callable[..., RedisStore], settings: Settings, changes: dict[str, object], reason: str
) -> None:
    bad, good = scorer(open_store(), settings).collect([outcome(settings, **changes), outcome(settings)])
    letter = msgspec.json.decode(bad.dead_letter or b"", type=DeadLetter)
    assert (letter.reason, letter.position) == (reason, "3:42")
    assert good.complete
    assert good.dead_letter is None


def test_without_the_store_everything_waits(settings: Settings) -> None:
    away = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1})})
    store = make_window_store(away)
    (waiting,) = scorer(store, away).collect([outcome(settings)])
    assert not waiting.complete
    store.close()
