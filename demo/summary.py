"""The demonstration's figures, from the tallies alone. Pure.

Recall by kind counts a fraud as caught when the decision is anything but `allow`; precision of a decision is the share
of frauds among the transactions it was given to. All figures are of the live phase; the history is accounted for apart.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict, get_args

import numpy as np

from contract.statistics import ranking
from contract.verdicts import Decision
from demo.tally import Judged, Phase, Tally

DECISIONS: tuple[str, ...] = get_args(Decision)


class Account(TypedDict):
    """transactions_in = verdicts + dead_letters + unaccounted."""

    transactions_in: int
    verdicts: int
    dead_letters: int
    unaccounted: int


def count_outcomes(tallies: Sequence[Tally], phase: Phase) -> Account:
    """What became of every row of `phase`. A row with a dead letter counts as such even if it has a verdict, too."""
    given = sum(tally.expected[phase] for tally in tallies)
    missing = sum(len(tally.list_unanswered(phase)) for tally in tallies)
    dead = sum(
        entry.phase == phase and entry.dead_letter is not None for tally in tallies for entry in tally.entries.values()
    )
    return Account(transactions_in=given, verdicts=given - missing - dead, dead_letters=dead, unaccounted=missing)


def summarise(tallies: Sequence[Tally]) -> dict[str, Any]:
    """Everything that `--json` writes but the run's own settings; plain numbers, strings, lists and dicts."""
    judged = [entry for tally in tallies for entry in tally.list_judged()]
    kinds = sorted({entry.truth.kind for entry in judged if entry.truth.kind is not None})
    return {
        **count_outcomes(tallies, "live"),
        "disagreeing_redeliveries": sum(tally.disagreeing for tally in tallies),
        "latency_ms": compute_percentiles([entry.latency_ms for entry in judged]),
        "decisions": _decisions(judged),
        "recall_by_kind": {kind: _recall(judged, kind, ("flag", "hold", "block")) for kind in kinds},
        "stopped_by_kind": {kind: _recall(judged, kind, ("hold", "block")) for kind in kinds},
        "frauds_by_kind": {kind: sum(entry.truth.kind == kind for entry in judged) for kind in kinds},
        "precision_by_decision": {decision: _precision(judged, decision) for decision in DECISIONS},
        "recall_by_decision": {decision: _share_of_frauds(judged, decision) for decision in DECISIONS},
        "genuine_untroubled": _untroubled(judged),
        "average_precision": average_precision(
            [entry.verdict.score for entry in judged if entry.verdict.score is not None],
            [entry.truth.fraud for entry in judged if entry.verdict.score is not None],
        ),
        "end_to_end_ms": compute_percentiles([e.end_to_end_ms for e in judged if e.end_to_end_ms is not None]),
        "redeliveries": sum(tally.redelivered for tally in tallies),
        "degraded": sum(
            entry.degraded for tally in tallies for entry in tally.entries.values() if entry.phase == "live"
        ),
        "late": sum(entry.verdict.late for entry in judged),
        "strangers": sum(tally.strangers for tally in tallies),
        "labels": sum(tally.labels for tally in tallies),
        "dead_letters_by_reason": _reasons(tallies),
        "history": count_outcomes(tallies, "history"),
        "retailers": {tally.retailer: _retailer(tally) for tally in tallies},
    }


def _retailer(tally: Tally) -> dict[str, Any]:
    judged = tally.list_judged()
    return {
        **count_outcomes([tally], "live"),
        "latency_ms": compute_percentiles([entry.latency_ms for entry in judged]),
        "decisions": _decisions(judged),
    }


def compute_percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90, p99 and max, rounded to hundredths; None without values."""
    if not values:
        return dict.fromkeys(("p50", "p90", "p99", "max"))
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    return {
        "p50": round(float(p50), 2),
        "p90": round(float(p90), 2),
        "p99": round(float(p99), 2),
        "max": round(max(values), 2),
    }


def _decisions(judged: Sequence[Judged]) -> dict[str, int]:
    counts = Counter(entry.verdict.decision for entry in judged)
    return {decision: counts[decision] for decision in get_args(Decision)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _recall(judged: Sequence[Judged], kind: str, decisions: tuple[str, ...]) -> float | None:
    of_kind = [entry for entry in judged if entry.truth.kind == kind]
    return _share(sum(entry.verdict.decision in decisions for entry in of_kind), len(of_kind))


def _precision(judged: Sequence[Judged], decision: str) -> float | None:
    """Share of frauds among those given `decision`; for `allow` it should be near 0."""
    given = [entry.truth.fraud for entry in judged if entry.verdict.decision == decision]
    return _share(sum(given), len(given))


def _share_of_frauds(judged: Sequence[Judged], decision: str) -> float | None:
    """Share of all frauds that were given `decision`."""
    frauds = [entry.verdict.decision == decision for entry in judged if entry.truth.fraud]
    return _share(sum(frauds), len(frauds))


def _untroubled(judged: Sequence[Judged]) -> float | None:
    """Share of genuine transactions that were allowed without more ado."""
    genuine = [entry.verdict.decision == "allow" for entry in judged if not entry.truth.fraud]
    return _share(sum(genuine), len(genuine))


def average_precision(scores: Sequence[float], frauds: Sequence[bool]) -> float | None:
    """See contract.statistics.ranking; to four places, None without frauds."""
    found = ranking.average_precision(np.asarray(scores, dtype=np.float64), np.asarray(frauds, dtype=np.bool_))
    return None if np.isnan(found) else round(found, 4)


def compute_precision_recall(scores: Sequence[float], frauds: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall at each distinct score, from the strictest down; both empty without frauds.

    Both have the shape (k,) for k distinct scores.
    """
    truth = np.asarray(frauds, dtype=bool)
    if not truth.any():
        return np.empty(0), np.empty(0)
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    ranked, caught = np.asarray(scores, dtype=float)[order], np.cumsum(truth[order])
    last_of_tie = np.append(np.diff(ranked) != 0, True)
    alarms = np.arange(1, len(ranked) + 1)[last_of_tie]
    return caught[last_of_tie] / alarms, caught[last_of_tie] / truth.sum()


def _reasons(tallies: Sequence[Tally]) -> dict[str, int]:
    counts = Counter(
        entry.dead_letter
        for tally in tallies
        for entry in tally.entries.values()
        if entry.phase == "live" and entry.dead_letter is not None
    )
    return dict(sorted(counts.items()))


def are_promises_kept(summary: dict[str, Any]) -> bool:
    """Whether the promises were kept: nothing lost in any phase, no two answers, nothing invented, a ledger that holds."""
    return bool(
        summary["unaccounted"] == 0
        and summary["history"]["unaccounted"] == 0
        and summary.get("second_act", {"unaccounted": 0})["unaccounted"] == 0
        and summary.get("third_act", {"ledger": {"holds": True}})["ledger"]["holds"]
        and summary["disagreeing_redeliveries"] == 0
        and summary["strangers"] == 0
    )
