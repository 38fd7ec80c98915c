"""What is known of a transaction, from all the labels that came for it, in whatever order. Pure.

Labels come late, twice and out of order; each is a revision, and the one with the latest label_time holds (of equals the one
that came last). A label dated in the future does not exist until then: what was said before it holds. Most transactions never get one: frauds become known, honest customers say nothing. So a transaction without a
label counts as genuine once it is older than the label delay by event time; until then nothing is known of it.

Selection effects, which no label repairs:

* What was held or blocked got no chance to turn out well or badly. Without a label it is left out, since "no chargeback
  came" says nothing about it. So the model learns only from what the serving model and the rules let through, and
  may slowly forget the frauds that are always stopped. Against it: labels of step-up and review, the replayed examples from
  earlier times, and the control group, a small share that is let through as `flag` although it would have been stopped;
  it counts like any other transaction.
* What is young has labels only where the fraud was quick to be seen. Young frauds are learned from, their number says nothing:
  the share of frauds that calibration and thresholds use is taken from what is older than the label delay.
* A source may be wrong, or hostile. Which sources decide about a new model is a setting, and a source that trusted ones
  contradict too often is not learned from at all.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

STOPPED = frozenset({"hold", "block"})
OVERLAP_MIN = 20
"""Transactions that a source and a trusted one have both labelled, before the source is judged."""
_Z = 1.645
"""One-sided 95%."""


class Revision(NamedTuple):
    """One label as it stands in the store."""

    label_time_ms: int
    number: int
    """The order in which the store took it in."""
    source: str
    fraud: bool
    kind: str | None


class Known(NamedTuple):
    """One transaction of the store without its features, and every revision of its label."""

    transaction_id: str
    event_time_ms: int
    applied_seq: int
    decision: str
    control: bool
    amount_base_minor: int
    revisions: tuple[Revision, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What counts as known, and for whom."""

    as_of_ms: int
    """Labels from after this moment do not exist yet."""
    ripe_before_ms: int
    """event_time up to which a transaction without a label counts as genuine: the watermark less the label delay."""
    unlabelled_weight: float
    trusted_sources: frozenset[str]
    trust_unlabelled: bool
    distrusted: frozenset[str] = frozenset()
    """Sources that are not learned from."""


class Judged(NamedTuple):
    """What one transaction is to learning and to the gate."""

    fraud: bool
    weight: float
    kind: str
    """Of the fraud; empty for genuine ones, `unknown` where no label names it."""
    verified: bool | None
    """By trusted sources alone; None: they say nothing."""


def find_newest(revisions: Iterable[Revision]) -> Revision | None:
    """The revision that holds, whatever the order they are given in."""
    return max(revisions, key=lambda revision: (revision.label_time_ms, revision.number), default=None)


def select_known(revisions: Iterable[Revision], as_of_ms: int) -> list[Revision]:
    """Those that had become known by then."""
    return [revision for revision in revisions if revision.label_time_ms <= as_of_ms]


def judge(known: Known, terms: Terms) -> Judged | None:
    """What the transaction is, under `terms`; None where it is no example (yet)."""
    told = select_known(known.revisions, terms.as_of_ms)
    held = find_newest(revision for revision in told if revision.source not in terms.distrusted)
    if held is not None:
        trusted = find_newest(revision for revision in told if revision.source in terms.trusted_sources)
        kind = (held.kind or "unknown") if held.fraud else ""
        return Judged(held.fraud, 1.0, kind, None if trusted is None else trusted.fraud)
    stopped = known.decision in STOPPED and not known.control
    if told or stopped or known.event_time_ms > terms.ripe_before_ms:
        return None
    return Judged(False, terms.unlabelled_weight, "", False if terms.trust_unlabelled else None)


class Overlap(NamedTuple):
    """How often a source was compared with trusted ones, and contradicted."""

    compared: int
    contradicted: int

    @property
    def surely_above(self) -> float:
        """A share of contradictions that the true one exceeds with 95% confidence (Wilson's lower bound)."""
        n, share = self.compared, self.contradicted / self.compared
        centre = share + _Z**2 / (2 * n)
        spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
        return max(0.0, (centre - spread) / (1 + _Z**2 / n))


def compute_overlaps(known: Iterable[Known], trusted_sources: Collection[str], as_of_ms: int) -> dict[str, Overlap]:
    """By source that is not trusted: how its newest labels compare with the newest trusted one on the same transactions."""
    found: dict[str, Overlap] = {}
    for each in known:
        if len(each.revisions) < 2:
            continue
        by_source = _newest_by_source(each.revisions, as_of_ms)
        trusted = find_newest(revision for source, revision in by_source.items() if source in trusted_sources)
        if trusted is None:
            continue
        for source, revision in by_source.items():
            if source not in trusted_sources:
                compared, contradicted = found.get(source, Overlap(0, 0))
                found[source] = Overlap(compared + 1, contradicted + (revision.fraud is not trusted.fraud))
    return found


def find_distrusted(found: Mapping[str, Overlap], disagreement_max: float) -> frozenset[str]:
    """Sources that are not worth learning from."""
    return frozenset(
        source
        for source, overlap in found.items()
        if overlap.compared >= OVERLAP_MIN and overlap.surely_above > disagreement_max
    )


def _newest_by_source(revisions: Sequence[Revision], as_of_ms: int) -> dict[str, Revision]:
    by_source: dict[str, Revision] = {}
    for revision in sorted(select_known(revisions, as_of_ms), key=lambda one: (one.label_time_ms, one.number)):
        by_source[revision.source] = revision
    return by_source
