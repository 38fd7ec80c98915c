"""What the second act found: how much of the new fraud each model caught, and what came between them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from contract.verdicts import REVISION_FULL
from demo.tally import Judged
from simulator.sales import NEW_KINDS

Outcome = Literal["published", "refused", "failed", "undecided"]
"""`undecided`: no training had ended when the demonstration would not wait any longer."""

NEWEST = 50
"""Frauds that the line of progress counts."""

STAGES = {
    "before": "first model",
    "during": "labels come in",
    "after": "new model",
}
"""In their order, and how they are shown."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the second act went; the moments are wall-clock times in UTC."""

    retailer: str
    kind: str
    """Of the fraud that begins."""
    kind_text: str
    first_model: str
    new_model: str | None
    """The model put in service; None where none was."""
    outcome: Outcome
    sentence: str
    """Why, in the words of the gate."""
    began_at: datetime
    labelled_at: datetime
    """When the first chargebacks were written."""
    published_at: datetime | None
    labels: int
    """Chargebacks written for sales of this act, until the gate had decided."""
    labels_of_kind: int
    """Of these, of the new fraud."""


class Point(NamedTuple):
    """One fraud of the new kind."""

    seconds: float
    """From the beginning of the pattern to the answer."""
    found: bool
    by_new_model: bool


def is_found(entry: Judged) -> bool:
    """Anything but `allow`."""
    return entry.verdict.decision != "allow"


def describe_newest(judged: Sequence[Judged], kind: str) -> str:
    """`7 of the newest 50 invoice frauds found`; a first answer by rules alone, which is no model's, does not count yet."""
    full = [entry for entry in judged if entry.truth.kind == kind and entry.verdict.revision == REVISION_FULL]
    newest = full[-NEWEST:]
    return f"{sum(map(is_found, newest))} of the newest {len(newest)} {NEW_KINDS[kind]}s found" if newest else ""


def list_points(course: Course, judged: Sequence[Judged]) -> list[Point]:
    """Every answered fraud of the new kind, in the order of the answers."""
    return sorted(
        Point(
            (entry.verdict.scored_at - course.began_at).total_seconds(),
            is_found(entry),
            course.new_model is not None and entry.verdict.model_version == course.new_model,
        )
        for entry in judged
        if entry.truth.kind == course.kind
    )


def summarise(course: Course, judged: Sequence[Judged], account: Mapping[str, Any]) -> dict[str, Any]:
    """The section `second_act` of the summary; `judged` are the answered transactions of this act.

    `before` was answered before any label of the new fraud was there, `during` by the same model while labels came in and the
    trainer learned, `after` by the new model.
    """
    stages = _stages(course, judged)
    return {
        **account,
        "retailer": course.retailer,
        "fraud": course.kind,
        "models": {"first": course.first_model, "new": course.new_model},
        "gate": {"outcome": course.outcome, "sentence": course.sentence},
        "labels": course.labels,
        "labels_of_new_fraud": course.labels_of_kind,
        "seconds_until_labels": _between(course.began_at, course.labelled_at),
        "seconds_from_labels_to_publication": _between(course.labelled_at, course.published_at),
        "recall": {name: _recall(course, entries) for name, entries in stages.items()},
        "known_frauds": {name: _share_found(_known(course, entries)) for name, entries in stages.items()},
        "genuine_untroubled": {name: _untroubled(entries) for name, entries in stages.items()},
    }


def _stages(course: Course, judged: Sequence[Judged]) -> dict[str, list[Judged]]:
    stages: dict[str, list[Judged]] = {name: [] for name in STAGES}
    for entry in judged:
        if course.new_model is not None and entry.verdict.model_version == course.new_model:
            stages["after"].append(entry)
        else:
            stages["before" if entry.verdict.scored_at < course.labelled_at else "during"].append(entry)
    return stages


def _recall(course: Course, entries: Sequence[Judged]) -> dict[str, Any]:
    return _share_found([entry for entry in entries if entry.truth.kind == course.kind])


def _known(course: Course, entries: Sequence[Judged]) -> list[Judged]:
    """Frauds of the kinds that the history held."""
    return [entry for entry in entries if entry.truth.fraud and entry.truth.kind != course.kind]


def _share_found(frauds: Sequence[Judged]) -> dict[str, Any]:
    caught = sum(map(is_found, frauds))
    return {"frauds": len(frauds), "found": caught, "share": _share(caught, len(frauds))}


def _untroubled(entries: Sequence[Judged]) -> dict[str, Any]:
    genuine = [entry for entry in entries if not entry.truth.fraud]
    allowed = sum(not is_found(entry) for entry in genuine)
    return {"genuine": len(genuine), "allowed": allowed, "share": _share(allowed, len(genuine))}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _between(first: datetime, last: datetime | None) -> float | None:
    return None if last is None else round((last - first).total_seconds(), 1)


def describe_learning(act: Mapping[str, Any], kind: str) -> list[str]:
    """What came between, in sentences: labels, the gate's word, and what the demonstration does otherwise than life."""
    gate, models = act["gate"], act["models"]
    labels = (
        f"{act['labels']:,} chargebacks ({act['labels_of_new_fraud']:,} of {kind}) came, the first {act['seconds_until_labels']:.0f} s "
        "after the fraud began; in life they take days or weeks."
    )
    if gate["outcome"] == "published":
        word = (
            f"{act['seconds_from_labels_to_publication']:.0f} s later {models['new']} took over from {models['first']}. "
            f"The gate: {gate['sentence']}."
        )
    else:
        word = f"No new model took over from {models['first']}. {_capital(gate['sentence'])}."
    return [labels, word]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
