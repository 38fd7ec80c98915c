from datetime import UTC, datetime

from contract.alarms import Alarm
from contract.dead_letters import DeadLetter
from contract.models import ModelChunk, ModelPromotion
from contract.verdicts import Verdict
from demo import summary
from demo.tally import Entry, Phase, Tally
from simulator.sales import Truth

NOW = datetime(2026, 3, 14, tzinfo=UTC)
GENUINE = Truth(fraud=False, kind=None, known_at=NOW)


def fraud(kind: str = "bots") -> Truth:
    return Truth(fraud=True, kind=kind, known_at=NOW)


def verdict(
    transaction_id: str, decision: str = "allow", score: float | None = 0.01, revision: int = 1, latency_ms: float = 5.0
) -> Verdict:
    return Verdict(
        transaction_id=transaction_id,
        retailer="alder",
        revision=revision,
        decision=decision,  # type: ignore[arg-type]
        score=score,
        reasons=[],
        model_version="m1",
        rules_version="r1",
        feature_schema="v1-0",
        rules=[],
        degraded=revision == 0,
        cause=None,
        late=False,
        event_time=NOW,
        scored_at=NOW,
        latency_ms=latency_ms,
        stage_us={},
    )


def dead_letter(key: str | None, reason: str = "field_invalid") -> DeadLetter:
    return DeadLetter(
        retailer="alder", part="scoring", reason=reason, detail="", source="t", position="0:1", failed_at=NOW, key=key
    )


def tally(*rows: tuple[str, Truth], phase: Phase = "live") -> Tally:
    result = Tally("alder")
    for transaction_id, truth in rows:
        result.expect(transaction_id, Entry(phase, truth, 1_000))
    return result


def test_what_was_given_is_verdicts_and_dead_letters_and_what_is_missing() -> None:
    given = tally(("a", GENUINE), ("b", GENUINE), ("c", GENUINE))
    given.take_verdict(verdict("a"), 1.0)
    given.take_dead_letter(dead_letter("b"))
    assert summary.count_outcomes([given], "live") == {
        "transactions_in": 3, "verdicts": 1, "dead_letters": 1, "unaccounted": 1,
    }  # fmt: skip
    assert given.list_unanswered("live") == ["c"]


def test_a_row_with_a_verdict_and_a_dead_letter_counts_once() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a"), 1.0)
    given.take_dead_letter(dead_letter("a"))
    given.take_dead_letter(dead_letter("a"))
    assert summary.count_outcomes([given], "live") == {
        "transactions_in": 1, "verdicts": 0, "dead_letters": 1, "unaccounted": 0,
    }  # fmt: skip
    assert given.answered["live"] == 1


def test_history_and_live_are_accounted_for_apart() -> None:
    given = tally(("old", GENUINE), phase="history")
    given.expect("new", Entry("live", GENUINE, 1_000))
    given.take_verdict(verdict("old"), 1.0)
    figures = summary.summarise([given])
    assert (figures["transactions_in"], figures["unaccounted"]) == (1, 1)
    assert figures["history"] == {"transactions_in": 1, "verdicts": 1, "dead_letters": 0, "unaccounted": 0}


def test_a_redelivery_with_the_same_answer_agrees() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a", score=0.25), 1.0)
    given.take_verdict(verdict("a", score=0.25), 2.0)
    assert (given.redelivered, given.disagreeing) == (1, 0)


def test_a_redelivery_with_another_decision_or_score_disagrees() -> None:
    given = tally(("a", GENUINE), ("b", GENUINE))
    given.take_verdict(verdict("a", "allow"), 1.0)
    given.take_verdict(verdict("a", "flag"), 2.0)
    given.take_verdict(verdict("b", score=0.1), 1.0)
    given.take_verdict(verdict("b", score=0.2), 2.0)
    assert (given.redelivered, given.disagreeing) == (2, 2)
    assert not summary.are_promises_kept(summary.summarise([given]))


def test_a_degraded_answer_alone_leaves_the_row_unaccounted_until_the_full_one_comes() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a", "flag", None, revision=0, latency_ms=50.0), 1.0)
    assert given.list_unanswered("live") == ["a"]
    given.take_verdict(verdict("a", "allow", 0.1, revision=1, latency_ms=900.0), 2.0)
    (judged,) = given.list_judged()
    assert given.list_unanswered("live") == []
    assert given.disagreeing == 0
    assert (judged.verdict.decision, judged.latency_ms) == ("allow", 50.0)
    assert summary.summarise([given])["degraded"] == 1


def test_later_revisions_do_not_change_the_first_full_answer() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a", "hold", 0.5), 1.0)
    given.take_verdict(verdict("a", "block", 0.5, revision=2), 2.0)
    assert given.list_judged()[0].verdict.decision == "hold"
    assert given.decisions == {"hold": 1}


def test_answers_to_rows_never_given_are_strangers() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("x"), 1.0)
    given.take_dead_letter(dead_letter(None))
    given.take_verdict(verdict("a"), 1.0)
    assert given.strangers == 2
    assert not summary.are_promises_kept(summary.summarise([given]))


def test_end_to_end_time_runs_from_commit_to_the_first_readable_answer() -> None:
    given = tally(("a", GENUINE), ("b", GENUINE))
    given.note_committed("a", 10.0)
    given.take_verdict(verdict("a"), 10.025)
    given.take_verdict(verdict("b"), 10.0)
    assert [entry.end_to_end_ms is None for entry in given.list_judged()] == [False, True]
    assert summary.summarise([given])["end_to_end_ms"]["p50"] == 25.0


def test_promises_hold_when_everything_is_answered_once() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a"), 1.0)
    assert summary.are_promises_kept(summary.summarise([given]))
    assert not summary.are_promises_kept(summary.summarise([tally(("a", GENUINE))]))


def test_recall_and_precision_follow_the_known_truth() -> None:
    given = tally(("a", fraud()), ("b", fraud()), ("c", fraud("stolen_card")), ("d", GENUINE), ("e", GENUINE))
    for transaction_id, decision, score in (
        ("a", "block", 0.9), ("b", "allow", 0.1), ("c", "flag", 0.4), ("d", "flag", 0.5), ("e", "allow", 0.2),
    ):  # fmt: skip
        given.take_verdict(verdict(transaction_id, decision, score), 1.0)
    figures = summary.summarise([given])
    assert figures["recall_by_kind"] == {"bots": 0.5, "stolen_card": 1.0}
    assert figures["stopped_by_kind"] == {"bots": 0.5, "stolen_card": 0.0}
    assert figures["frauds_by_kind"] == {"bots": 2, "stolen_card": 1}
    assert figures["precision_by_decision"] == {"allow": 0.5, "flag": 0.5, "hold": None, "block": 1.0}
    assert figures["recall_by_decision"] == {"allow": 0.3333, "flag": 0.3333, "hold": 0.0, "block": 0.3333}
    assert figures["genuine_untroubled"] == 0.5
    assert figures["decisions"] == {"allow": 2, "flag": 2, "hold": 0, "block": 1}


def test_average_precision_is_that_of_training_to_four_places() -> None:
    import numpy as np

    from contract.statistics.ranking import average_precision

    rng = np.random.default_rng(5)
    truth = rng.random(400) < 0.1
    scores = (truth * 0.3 + rng.random(400)).round(1)
    assert summary.average_precision(scores.tolist(), truth.tolist()) == round(average_precision(scores, truth), 4)


def test_figures_without_any_transaction_are_empty_not_wrong() -> None:
    figures = summary.summarise([Tally("alder")])
    assert figures["transactions_in"] == 0
    assert figures["latency_ms"] == {"p50": None, "p90": None, "p99": None, "max": None}
    assert figures["average_precision"] is None
    assert figures["recall_by_kind"] == {}


def test_precision_and_recall_are_told_at_each_distinct_score_from_the_strictest_down() -> None:
    precision, recall = summary.compute_precision_recall([0.9, 0.5, 0.5, 0.1], [True, False, True, False])
    assert precision.tolist() == [1.0, 2 / 3, 0.5]
    assert recall.tolist() == [0.5, 1.0, 1.0]
    assert [part.size for part in summary.compute_precision_recall([0.9], [False])] == [0, 0]


def test_a_degraded_answer_that_comes_after_the_full_one_changes_nothing() -> None:
    given = tally(("a", GENUINE))
    given.take_verdict(verdict("a", "block"), 1.0)
    given.take_verdict(verdict("a", "flag", revision=0), 2.0)
    entry = given.entries["a"]
    assert entry.verdict is not None
    assert (entry.verdict.decision, entry.read_s, entry.degraded) == ("block", 1.0, True)


def test_the_frauds_of_a_phase_are_those_that_the_retailer_wrote_down_soundly() -> None:
    given = tally(("a", fraud()), ("b", GENUINE), ("c", fraud("rings")))
    given.expect("d", Entry("history", fraud(), 1_000))
    given.expect("e", Entry("live", fraud(), 1_000, bad="amount"))
    assert [name for name, _ in given.list_frauds("live")] == ["a", "c"]
    assert [truth.kind for _, truth in given.list_frauds("live")] == ["bots", "rings"]


def test_labels_promotions_and_alarms_are_noted_and_chunks_of_models_are_not() -> None:
    given = tally()
    given.take_label()
    promotion = ModelPromotion(model_version="m-1", package_sha256="0" * 64, promoted_at=NOW, promoted_by="trainer")
    given.take_model(promotion)
    given.take_model(ModelChunk(model_version="m-1", package_sha256="0" * 64, index=0, count=1, data=b"x"))
    alarm = Alarm(
        alarm_id="a-1", retailer="alder", kind="drift_score", severity="warning", raised_at=NOW, part="trainer",
        subject="m-1", text="scores rose", remedy="train again", values={},
    )  # fmt: skip
    given.take_alarm(alarm)
    assert (given.labels, given.promotions, given.alarms) == (1, [promotion], [alarm])
