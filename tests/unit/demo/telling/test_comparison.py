"""What the demonstration says about serving against a replay."""

from datetime import UTC, datetime
from typing import Any

from contract.verdicts import Verdict
from demo.tally import Judged
from demo.telling.comparison import describe_comparison, summarise
from simulator.sales import Truth
from trainer.drift.skew import Skew

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def judged(name: str, score: float | None, *, fraud: bool) -> Judged:
    fields: dict[str, Any] = {
        "transaction_id": name, "retailer": "alder", "revision": 1, "decision": "allow", "score": score, "reasons": [],
        "model_version": "m", "rules_version": "r", "feature_schema": "v2", "rules": [], "degraded": False, "cause": None, "late": False,
        "event_time": NOW, "scored_at": NOW, "latency_ms": 1.0, "stage_us": {},
    }  # fmt: skip
    return Judged("alder", name, Verdict(**fields), Truth(fraud, None, NOW), 100, 1.0, None)


def test_both_average_precisions_are_of_the_same_transactions() -> None:
    ones = [judged("a", 0.9, fraud=False), judged("b", 0.8, fraud=True), judged("c", 0.1, fraud=False)]
    others = [judged("d", 0.7, fraud=True), judged("e", None, fraud=True)]
    skews = [Skew(3, 1, [], {"frauds_later": 1}, False), Skew(1, 0, [], {}, False)]
    replayed = [("a", 0.2), ("b", 0.8), ("c", 0.1), ("d", 0.7), ("stranger", 1.0), ("e", 1.0)]
    found = summarise(skews, replayed, [ones, others])
    assert found == {
        "compared": 4, "different": 1, "causes": {"frauds_later": 1},
        "average_precision_served": 0.5833, "average_precision_replayed": 1.0,
    }  # fmt: skip
    said = describe_comparison(found)
    assert "4 transactions compared, 1 different; average precision 0.5833 as served, 1.0 by the replay." in said
    assert "In 1 a fraud became known" in said


def test_without_a_difference_nothing_is_explained() -> None:
    found = summarise([Skew(0, 0, [], {}, False)], [], [])
    assert describe_comparison(found) == (
        "Served against replayed: 0 transactions compared, 0 different; average precision None as served, None by the replay."
    )
