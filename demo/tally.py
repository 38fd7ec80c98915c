"""Keeps account of one retailer's transactions: what its database was given, and what came back on its topics. Pure.

Not thread-safe by itself; the one who shares it holds a lock.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from contract.alarms import Alarm
from contract.dead_letters import DeadLetter
from contract.models import ModelMessage, ModelPromotion
from contract.verdicts import REVISION_DEGRADED, REVISION_FULL, Decision, Verdict
from simulator.sales import Truth

Phase = Literal["history", "live", "second"]
"""`second`: the second act, in which a new fraud begins."""


@dataclass(slots=True)
class Entry:
    """One row given to the database, and its fate."""

    phase: Phase
    truth: Truth
    amount_minor: int
    bad: str | None = None
    """What was broken on purpose; None for a sound row."""
    committed_s: float | None = None
    """Wall clock (s since 1970) when the database confirmed it."""
    dead_letter: str | None = None
    """Reason code."""
    degraded: bool = False
    """Was answered by rules alone before (or without) the full answer."""
    verdict: Verdict | None = None
    """The full answer (revision 1); the degraded one until that has come."""
    read_s: float | None = None
    """Wall clock when the first answer could be read."""
    latency_ms: float | None = None
    """Of the first answer, the one that a till waits for."""


class Judged(NamedTuple):
    """A transaction with its answer and its truth."""

    retailer: str
    transaction_id: str
    verdict: Verdict
    truth: Truth
    amount_minor: int
    latency_ms: float
    """From the append to Kafka to the first answer."""
    end_to_end_ms: float | None
    """From the database's commit to the readable verdict."""


class Tally:
    """Everything known of one retailer's rows."""

    def __init__(self, retailer: str) -> None:
        self.retailer = retailer
        self.entries: dict[str, Entry] = {}
        self.redelivered = 0
        """Verdicts that came again with equal transaction_id and revision."""
        self.disagreeing = 0
        """Of those, the ones with another decision or score; promise 2 says none."""
        self.strangers = 0
        """Verdicts and dead letters for rows that were never given."""
        self.labels = 0
        self.reported = 0
        """Labels written into the database."""
        self.promotions: list[ModelPromotion] = []
        """Models put in service, in order."""
        self.alarms: list[Alarm] = []
        self.latencies_ms: list[float] = []
        """Of live transactions, in order of arrival."""
        self.decisions: Counter[str] = Counter()
        """Of live transactions."""
        self.expected: Counter[str] = Counter()
        """By phase: rows announced."""
        self.sent = 0
        """Live rows that the database has confirmed."""
        self.answered: Counter[str] = Counter()
        """By phase: rows with a full verdict or a dead letter."""
        self._answers: dict[tuple[str, int], tuple[Decision, float | None]] = {}

    def expect(self, transaction_id: str, entry: Entry) -> None:
        """Announces a row, before it is written."""
        self.entries[transaction_id] = entry
        self.expected[entry.phase] += 1

    def note_committed(self, transaction_id: str, at_s: float) -> None:
        """The database confirmed the row."""
        self.entries[transaction_id].committed_s = at_s
        self.sent += 1

    def take_verdict(self, verdict: Verdict, read_s: float) -> None:
        """Counts one verdict read from the topic."""
        entry = self.entries.get(verdict.transaction_id)
        if entry is None:
            self.strangers += 1
            return
        if self._seen_before(verdict) or verdict.revision > REVISION_FULL:
            return
        full = verdict.revision == REVISION_FULL
        first = entry.verdict is None
        entry.degraded |= verdict.revision == REVISION_DEGRADED
        if first:
            entry.read_s, entry.latency_ms = read_s, verdict.latency_ms
        if first or full:
            entry.verdict = verdict
        if entry.phase == "live" and first:
            self.latencies_ms.append(verdict.latency_ms)
        if entry.phase == "live" and full:
            self.decisions[verdict.decision] += 1
        if full and entry.dead_letter is None:
            self.answered[entry.phase] += 1

    def _seen_before(self, verdict: Verdict) -> bool:
        answer = (verdict.decision, verdict.score)
        known = self._answers.setdefault((verdict.transaction_id, verdict.revision), answer)
        if known is answer:
            return False
        self.redelivered += 1
        self.disagreeing += known != answer
        return True

    def take_dead_letter(self, letter: DeadLetter) -> None:
        """Counts one dead letter read from the topic."""
        entry = self.entries.get(letter.key or "")
        if entry is None:
            self.strangers += 1
        elif entry.dead_letter is None:
            entry.dead_letter = letter.reason
            if entry.verdict is None or entry.verdict.revision != REVISION_FULL:
                self.answered[entry.phase] += 1

    def take_label(self) -> None:
        """Counts one label read from the topic."""
        self.labels += 1

    def take_model(self, message: ModelMessage) -> None:
        """Notes a promotion; what else the models topic carries is for the workers."""
        if isinstance(message, ModelPromotion):
            self.promotions.append(message)

    def take_alarm(self, alarm: Alarm) -> None:
        """Notes an alarm."""
        self.alarms.append(alarm)

    def list_frauds(self, phase: Phase) -> list[tuple[str, Truth]]:
        """Id and truth of every sound fraud of `phase`."""
        return [
            (transaction_id, entry.truth)
            for transaction_id, entry in self.entries.items()
            if entry.phase == phase and entry.truth.fraud and entry.bad is None
        ]

    def list_unanswered(self, phase: Phase) -> list[str]:
        """Ids of rows of `phase` that have neither a full verdict nor a dead letter."""
        return [
            transaction_id
            for transaction_id, entry in self.entries.items()
            if entry.phase == phase
            and entry.dead_letter is None
            and (entry.verdict is None or entry.verdict.revision != REVISION_FULL)
        ]

    def list_judged(self, phase: Phase = "live") -> list[Judged]:
        """Transactions of `phase` that have an answer and no dead letter, in the order in which they were announced."""
        return [
            Judged(
                self.retailer,
                transaction_id,
                entry.verdict,
                entry.truth,
                entry.amount_minor,
                entry.latency_ms or 0.0,
                _elapsed_ms(entry),
            )
            for transaction_id, entry in self.entries.items()
            if entry.phase == phase and entry.verdict is not None and entry.dead_letter is None
        ]


def _elapsed_ms(entry: Entry) -> float | None:
    if entry.read_s is None or entry.committed_s is None:
        return None
    # A verdict can be read before the writer has noted its own commit; that is no negative time.
    return max(0.0, (entry.read_s - entry.committed_s) * 1_000)
