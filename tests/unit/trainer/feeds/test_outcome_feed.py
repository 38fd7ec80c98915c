"""When a running trainer tells the workers of a label."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np

from contract.clock import ManualClock
from contract.features import get_feature_names
from contract.risk import KnownOutcome
from contract.settings import parse
from runtime.kafka.producer import KeyValue
from support.learning import BEGAN, feature_record, label
from trainer.examples.label_log import LabelLog
from trainer.examples.outcomes import PastTransaction
from trainer.examples.store import ExampleStore
from trainer.feeds.outcome_feed import DUE_EVERY_S, OutcomeFeed, read_from_history, read_from_store

NAMED = b"\x01\x00" + b"x" * 8
DAY_MS = 86_400_000


class Sent:
    """Takes what the topic would."""

    def __init__(self) -> None:
        self.outcomes: list[KnownOutcome] = []

    def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
        assert (topic, partition) == ("shop.outcomes.v1", None)
        self.outcomes += [msgspec.json.decode(value or b"", type=KnownOutcome) for _, value in messages]

    def verdicts(self) -> list[tuple[str, bool]]:
        return [(each.transaction_id, each.fraud) for each in self.outcomes]


def test_a_label_is_told_when_its_time_comes_and_a_correction_takes_it_back(tmp_path: Path) -> None:
    settings, sent = parse({"retailer": "shop"}, where="test"), Sent()
    store = ExampleStore(f"sqlite:///{tmp_path / 'examples.db'}", "shop")
    clock = ManualClock(BEGAN + timedelta(days=2))
    row = np.full(len(get_feature_names()), np.nan, dtype="<f4").tobytes()
    feed = OutcomeFeed(settings, store, clock, sent)
    store.put([feature_record(n, values=row, entities=NAMED) for n in (1, 2)], [label(1), label(2, day=5)])
    feed.tell(["t-1", "t-2"])
    assert sent.verdicts() == [("t-1", True)]
    clock.advance(DUE_EVERY_S)
    feed.send_due()
    assert len(sent.outcomes) == 1
    clock.advance(4 * 86_400)
    feed.send_due()
    assert sent.verdicts() == [("t-1", True), ("t-2", True)]
    store.put([], [label(2, day=6, fraud=False)])
    clock.advance(86_400)
    feed.send_due()
    assert sent.verdicts()[2:] == [("t-2", False)]
    assert {(each.transaction_id, each.fraud) for each in read_from_store(settings, store, clock.now())} == {
        ("t-1", True), ("t-2", False),
    }  # fmt: skip
    store.close()


def test_of_a_history_the_frauds_of_its_horizon_are_told_that_are_known_by_then() -> None:
    settings, log = parse({"retailer": "shop"}, where="test"), LabelLog()
    end = ManualClock(BEGAN).now()
    sales = {
        f"t-{day}": PastTransaction(round(end.timestamp() * 1000) - day * DAY_MS, NAMED, plain=True)
        for day in (60, 30, 3, 0)
    }
    for name, seen in sales.items():
        log.add(name, True, seen.event_time_ms + 7 * DAY_MS, "review")
    log.add("unknown", True, 0, "review")
    told = read_from_history(settings, sales, log, end)
    assert [each.transaction_id for each in told] == ["t-30"]
    later = read_from_history(settings, sales, log, end + timedelta(days=7))
    assert [each.transaction_id for each in later] == ["t-30", "t-3", "t-0"]
    assert read_from_history(settings, {}, log, end) == []
