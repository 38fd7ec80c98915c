"""A live engine on the suite's Redis, and what it writes into the feature log."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import numpy as np

from contract.clock import ManualClock, to_epoch_ms
from contract.codec import encode
from contract.events import Transaction
from contract.features import FeatureRecord, find_plain_columns, is_plain
from contract.metrics import Metrics
from contract.risk import KnownOutcome
from contract.settings import Settings
from scoring.engine.engine import Engine
from scoring.models.cache import ModelCache
from scoring.ports import RawEvent
from scoring.rules.ruleset import load_rules
from scoring.rules.versions import RulesetCache
from scoring.worker.risk_feed import OutcomeScorer
from support.tiny_model import tiny_messages, tiny_package
from support.workbench import RULES, features_of, record, score, transaction
from tillguard.history.reading import Known, LabelQueue
from tillguard.wiring.engine import make_engine
from tillguard.wiring.stores import make_case_store, make_rules_archive, make_window_store


def history(settings: Settings, chance: random.Random, now: datetime, count: int = 600) -> list[Transaction]:
    """Few entities, many ties, some late, amounts of any size, fields that come and go; over weeks."""
    made = []
    moment = now - timedelta(days=10, seconds=4_000 * count)
    for number in range(count):
        moment += timedelta(milliseconds=chance.choice([0, 0, 1, 900, 40_000, 3_600_000, 20_000_000]))
        late = timedelta(days=chance.choice([0, 0, 0, 0, 2]))
        maybe = {
            name: chance.choice([None, f"{name}-{chance.randrange(6)}"])
            for name in ("customer", "card", "device", "ip", "email", "address", "coupon", "terminal")
        }
        made.append(
            transaction(
                number,
                retailer=settings.retailer,
                event_time=moment - late,
                amount_minor=chance.choice([0, 1, 999, 123_456, 10**11]),
                channel=chance.choice([None, "web", "app"]),
                basket_items=chance.choice([None, 0, 3]),
                session_s=chance.choice([None, 0.5, 100.0]),
                customer_since=chance.choice([None, moment - timedelta(days=400)]),
                **maybe,
            )
        )
    return made


@contextmanager
def engine_of(settings: Settings, now: datetime) -> Iterator[Engine]:
    """A live engine on the suite's Redis."""
    metrics = Metrics()
    cache = ModelCache(settings.scoring.model_directory, settings.retailer, metrics)
    for _, value in tiny_messages(tiny_package(retailer=settings.retailer)):
        cache.offer(value)
    store, cases, archive = make_window_store(settings), make_case_store(settings), make_rules_archive(settings)
    rulesets, clock = RulesetCache(load_rules(RULES, where="test"), archive, ManualClock(now)), ManualClock(now)
    engine = make_engine(settings, store, cases, cache, rulesets, clock, metrics)
    try:
        yield engine
    finally:
        store.close()
        cases.stop()
        archive.close()


def served(settings: Settings, rows: list[Transaction], now: datetime) -> dict[str, bytes]:
    """The feature log that a live engine writes for `rows`."""
    with engine_of(settings, now) as engine:
        outcomes = [
            outcome
            for start in range(0, len(rows), 100)
            for outcome in score(engine, [record(row) for row in rows[start : start + 100]])
        ]
    return {found.transaction_id: found.values for found in map(features_of, outcomes)}


def served_with_labels(
    settings: Settings,
    rows: list[Transaction],
    frauds: set[str],
    now: datetime,
    seen: Mapping[str, FeatureRecord] | None = None,
) -> dict[str, FeatureRecord]:
    """The same where the frauds become known 7 days after their transaction, through the outcomes topic's scorer.

    `seen`: records of earlier transactions, whose frauds become known now.
    """
    queue, log = LabelQueue(settings.trainer.label_delay_days), dict(seen or {})
    for name in log.keys() & frauds:
        queue.push(Known(name, True), event_time_ms=to_epoch_ms(log[name].event_time))
    scorer_store = make_window_store(settings)
    scorer = OutcomeScorer(
        scorer_store, ManualClock(now), Metrics(), admission=settings.admission, timeout_s=settings.redis.timeout_s
    )
    with engine_of(settings, now) as engine:
        for row in rows:
            for known in queue.take_due(to_epoch_ms(row.event_time)):
                message = encode(_outcome(log[known.transaction_id], known, row.event_time))
                (done,) = scorer.collect([RawEvent(message, "outcomes", 0, 0, 0)])
                assert done.complete
                assert done.dead_letter is None
            (outcome,) = score(engine, [record(row)])
            log[row.transaction_id] = features_of(outcome)
            if row.transaction_id in frauds:
                queue.push(Known(row.transaction_id, True), event_time_ms=to_epoch_ms(row.event_time))
    scorer_store.close()
    return log


def _outcome(seen: FeatureRecord, known: Known, label_time: datetime) -> KnownOutcome:
    values = np.frombuffer(seen.values, "<f4")
    return KnownOutcome(
        transaction_id=known.transaction_id, retailer=seen.retailer, event_time=seen.event_time, entities=seen.entities,
        fraud=known.fraud, plain=is_plain(*values[list(find_plain_columns())].tolist()), label_time=label_time,
    )  # fmt: skip
