from datetime import UTC, datetime, timedelta

import pytest

from contract.verdicts import Verdict
from demo.learning import recovery
from demo.learning.recovery import Course
from demo.tally import Judged
from simulator.sales import Truth

BEGAN = datetime(2026, 3, 14, tzinfo=UTC)
NOTHING_LOST = {"transactions_in": 5, "verdicts": 5, "dead_letters": 0, "unaccounted": 0}


def course(new_model: str | None = "m2", outcome: recovery.Outcome = "published") -> Course:
    return Course(
        retailer="alder",
        kind="invoice_fraud",
        kind_text="invoice fraud",
        first_model="m1",
        new_model=new_model,
        outcome=outcome,
        sentence="better in 99% of resamplings",
        began_at=BEGAN,
        labelled_at=BEGAN + timedelta(seconds=20),
        published_at=BEGAN + timedelta(seconds=50) if new_model else None,
        labels=30,
        labels_of_kind=25,
    )


def judged(
    at_s: float, decision: str, kind: str | None = "invoice_fraud", model: str = "m1", revision: int = 1
) -> Judged:
    verdict = Verdict(
        transaction_id=f"A-{at_s}",
        retailer="alder",
        revision=revision,
        decision=decision,  # type: ignore[arg-type]
        score=0.5,
        reasons=[],
        model_version=model,
        rules_version="r1",
        feature_schema="v1-0",
        rules=[],
        degraded=False,
        cause=None,
        late=False,
        event_time=BEGAN,
        scored_at=BEGAN + timedelta(seconds=at_s),
        latency_ms=4.0,
        stage_us={},
    )
    return Judged("alder", verdict.transaction_id, verdict, Truth(kind is not None, kind, BEGAN), 1_000, 4.0, 8.0)


ANSWERS = [
    judged(1, "allow"),
    judged(2, "flag"),
    judged(30, "allow"),
    judged(49, "block", model="m2"),  # answered by the new model before its promotion was read back
    judged(60, "hold", model="m2"),
    judged(61, "allow", model="m2"),
    judged(3, "block", "bots"),
    judged(62, "allow", "bots", model="m2"),
    judged(4, "allow", None),
    judged(5, "flag", None),
    judged(63, "allow", None, model="m2"),
]


def test_recall_goes_by_the_model_that_answered_and_by_the_moment_of_the_labels() -> None:
    found = recovery.summarise(course(), ANSWERS, NOTHING_LOST)
    assert found["recall"] == {
        "before": {"frauds": 2, "found": 1, "share": 0.5},
        "during": {"frauds": 1, "found": 0, "share": 0.0},
        "after": {"frauds": 3, "found": 2, "share": 0.6667},
    }
    assert found["known_frauds"]["before"] == {"frauds": 1, "found": 1, "share": 1.0}
    assert found["known_frauds"]["during"] == {"frauds": 0, "found": 0, "share": None}
    assert found["known_frauds"]["after"]["share"] == 0.0
    assert found["genuine_untroubled"]["before"] == {"genuine": 2, "allowed": 1, "share": 0.5}
    assert (found["seconds_until_labels"], found["seconds_from_labels_to_publication"]) == (20.0, 30.0)
    assert found["unaccounted"] == 0


def test_where_the_gate_refuses_nothing_counts_as_after() -> None:
    refused = course(None, "refused")
    found = recovery.summarise(refused, ANSWERS[:3], NOTHING_LOST)
    assert found["recall"]["after"] == {"frauds": 0, "found": 0, "share": None}
    assert found["models"] == {"first": "m1", "new": None}
    assert found["seconds_from_labels_to_publication"] is None
    assert "No new model took over from m1. Better in 99%" in " ".join(
        recovery.describe_learning(found, "invoice fraud")
    )


def test_what_was_learned_is_told_with_labels_seconds_and_the_gates_own_words() -> None:
    text = " ".join(recovery.describe_learning(recovery.summarise(course(), ANSWERS, NOTHING_LOST), "invoice fraud"))
    assert "30 chargebacks (25 of invoice fraud) came, the first 20 s after" in text
    assert "30 s later m2 took over from m1. The gate: better in 99% of resamplings." in text


@pytest.mark.parametrize("new_model", ["m2", None])
def test_points_are_the_new_frauds_in_the_order_of_their_answers(new_model: str | None) -> None:
    found = recovery.list_points(course(new_model), ANSWERS)
    assert [point.seconds for point in found] == [1, 2, 30, 49, 60, 61]
    assert [point.found for point in found] == [False, True, False, True, True, False]
    assert [point.by_new_model for point in found] == [False] * 3 + [new_model is not None] * 3


def test_progress_counts_the_newest_full_answers_and_no_answer_of_rules_alone() -> None:
    missed = [judged(at_s, "allow") for at_s in range(60)]
    assert recovery.describe_newest([*missed, judged(60, "block")], "invoice_fraud") == (
        "1 of the newest 50 invoice frauds found"
    )
    by_rules = judged(61, "hold", revision=0)
    other = judged(62, "block", kind="bots")
    assert recovery.describe_newest([*missed[:3], by_rules, other], "invoice_fraud") == (
        "0 of the newest 3 invoice frauds found"
    )
    assert recovery.describe_newest([by_rules], "invoice_fraud") == ""
