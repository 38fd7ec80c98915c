"""The engine over a real Redis: windows, cases, lists and archived rules together."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.clock import ManualClock, SystemClock
from contract.features import get_feature_names
from contract.metrics import Metrics
from contract.settings import Settings
from contract.verdicts import Verdict
from scoring.models.cache import ModelCache
from scoring.rules.ruleset import Ruleset, load_rules
from scoring.rules.versions import RulesetCache
from scoring.store.lists import ListStore
from support.tiny_model import tiny_messages, tiny_package
from support.workbench import RULES, features_of, record, resolution, score, transaction, verdict_of
from tillguard.wiring.engine import make_engine, make_resolver
from tillguard.wiring.stores import make_case_store, make_rules_archive, make_window_store

pytestmark = pytest.mark.integration
NOW = SystemClock().now().replace(microsecond=0)


class Worker:
    """What a scoring process holds; a second one is another machine with the same Redis."""

    def __init__(self, settings: Settings, rules: Ruleset, model: tuple[bytes, str]) -> None:
        metrics = Metrics()
        self.clock = ManualClock(NOW)
        self.cache = ModelCache(settings.scoring.model_directory, settings.retailer, metrics)
        for _, value in tiny_messages(*model):
            self.cache.offer(value)
        self.store, self.cases, self.archive = (
            make_window_store(settings),
            make_case_store(settings),
            make_rules_archive(settings),
        )
        self.marks = ListStore(settings)
        rulesets = RulesetCache(rules, self.archive, self.clock)
        self.engine = make_engine(settings, self.store, self.cases, self.cache, rulesets, self.clock, metrics)
        self.resolver = make_resolver(settings, self.cases, self.clock, metrics)

    def verdicts(self, *transactions: Any) -> list[Verdict]:
        return [verdict_of(one) for one in score(self.engine, [record(one) for one in transactions])]

    def close(self) -> None:
        self.store.close()
        self.cases.stop()
        self.archive.close()


@pytest.fixture
def settings(stack: Any, retailer_name: str, tmp_path: Path) -> Settings:
    redis = stack.endpoints["redis"]
    return Settings(
        retailer=retailer_name,
        redis={"host": redis.host, "port": redis.port, "password": redis.password, "timeout_s": 30},
        scoring={"model_directory": tmp_path / "models", "budget_ms": 60_000},
    )  # fmt: skip


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    made = Worker(settings, load_rules(RULES, where="test"), (tiny_package(retailer=settings.retailer), "tiny-1"))
    yield made
    made.close()


def payment(worker_settings: Settings, number: int, **changes: Any) -> Any:
    fields = {"retailer": worker_settings.retailer, "event_time": NOW - timedelta(seconds=60 - number)}
    return transaction(number, **(fields | changes))


def test_windows_of_redis_reach_the_model_and_the_feature_log(worker: Worker, settings: Settings) -> None:
    events = [payment(settings, number, card="k1:same") for number in range(1, 6)]
    outcomes = score(worker.engine, [record(one) for one in events])
    values = np.frombuffer(features_of(outcomes[-1]).values, dtype="<f4")
    found = dict(zip(get_feature_names(), values.tolist(), strict=True))
    assert (found["card_count_1h"], found["card_sum_1h"], found["card_since_last"]) == (5, 250, 1)
    assert found["customer_count_1h"] == 1
    assert np.isnan(found["ip_count_1h"])


def test_another_machine_with_other_rules_and_model_repeats_the_first_answer(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    events = [
        payment(settings, 1),
        payment(settings, 2, amount_minor=40_000),
        payment(settings, 3, category="giftcard", amount_minor=12_000),
    ]
    first = worker.verdicts(*events)
    assert [one.decision for one in first] == ["allow", "hold", "hold"]
    strict = load_rules("rules: [{id: all, text: all, when: 'amount > 1', decision: block}]", where="strict")
    elsewhere = settings.model_copy(
        update={"scoring": settings.scoring.model_copy(update={"model_directory": tmp_path / "elsewhere"})}
    )
    other = Worker(elsewhere, strict, (tiny_package(retailer=settings.retailer), "tiny-1"))
    for _, value in tiny_messages(tiny_package("tiny-2", settings.retailer, bias=9.0), "tiny-2"):
        other.cache.offer(value)
    again = other.verdicts(*events)
    new = other.verdicts(payment(settings, 4))
    other.close()
    assert [(one.decision, one.score, one.rules_version, one.model_version) for one in again] == [
        (one.decision, one.score, one.rules_version, one.model_version) for one in first
    ]
    assert [(one.decision, one.model_version) for one in new] == [("block", "tiny-2")]


def test_changed_content_under_a_known_id_is_a_conflict(worker: Worker, settings: Settings) -> None:
    worker.verdicts(payment(settings, 1))
    (outcome,) = score(worker.engine, [record(payment(settings, 1, amount_minor=1))])
    assert outcome.verdict is None
    assert b'"reason":"conflict"' in (outcome.dead_letter or b"")


def test_a_hold_is_resolved_once_and_another_one_expires_until_it_is_confirmed(
    worker: Worker, settings: Settings
) -> None:
    worker.verdicts(payment(settings, 1, amount_minor=40_000), payment(settings, 2, amount_minor=40_000))
    told = resolution("t-1", "step_up_passed", retailer=settings.retailer)
    first, again = worker.resolver.resolve([told, told])
    assert (verdict_of(first).revision, verdict_of(first).decision) == (2, "allow")
    assert again.verdict == first.verdict
    worker.clock.advance(901)
    (expired,) = worker.resolver.expire(10)
    assert (expired.key, verdict_of(expired).decision) == (b"t-2", "block")
    assert worker.resolver.expire(10) == []
    worker.clock.advance(61)
    assert [one.verdict for one in worker.resolver.expire(10)] == [expired.verdict]
    worker.resolver.confirm([expired])
    worker.clock.advance(7_200)
    assert worker.resolver.expire(10) == []


def test_a_listed_card_is_blocked_from_its_next_transaction_on(worker: Worker, settings: Settings) -> None:
    first = worker.verdicts(payment(settings, 1, card="k1:listed"))
    worker.marks.set("card", "k1:listed", "deny", by="ann", reason_code="stolen")
    again, following = worker.verdicts(payment(settings, 1, card="k1:listed"), payment(settings, 2, card="k1:listed"))
    assert [one.decision for one in (*first, again, following)] == ["allow", "allow", "block"]
    assert following.reasons[0].code == "list:deny"
