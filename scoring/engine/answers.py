"""What the messages of the engine have in common, and those that need no judgement: degraded verdicts, dead letters. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from contract.clock import to_epoch_ms
from contract.codec import DOCUMENT_BYTES_MAX
from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError, InvariantError
from contract.events import Transaction
from contract.features import get_schema_hash
from contract.verdicts import REVISION_DEGRADED, Decision, DegradedCause, Reason, Verdict
from scoring.ports import Answer, EventResult, RawEvent

HISTORY_PHASES = frozenset({"snapshot", "replay"})
DETAIL_MAX = 1024
KEY_MAX = 256
DEGRADED_TEXTS: dict[DegradedCause, str] = {
    "state_unavailable": "the store of recent activity does not answer",
    "state_late": "the store of recent activity did not answer in time",
    "model_unavailable": "no model is available",
    "model_late": "the model did not answer in time",
}
CONTROL_CODE = "policy:control"
"""The reason of the control group's verdicts."""
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Moment:
    """The wall-clock time of an answer, in the forms that its messages need."""

    now: datetime
    now_ms: int
    late_before: datetime
    """Transactions older than this are late."""

    @classmethod
    def from_time(cls, now: datetime, late_after_s: float) -> "Moment":
        """The forms of `now` (UTC)."""
        now_ms = to_epoch_ms(now)
        return cls(now, now_ms, datetime.fromtimestamp(now_ms / 1000 - late_after_s, UTC))

    def compute_latency_ms(self, event: RawEvent) -> float:
        """Since the broker appended the event; never negative, since two machines' clocks differ."""
        return float(max(0, self.now_ms - event.appended_ms))


class _Reason(msgspec.Struct):
    code: str


class _Told(msgspec.Struct):
    """What matters of a verdict that was published before."""

    decision: Decision
    score: float
    reasons: list[_Reason]


_decode_told = msgspec.json.Decoder(_Told).decode


def read_answer(verdict: bytes) -> Answer:
    """A full verdict that was published before; raises InvariantError where it is none."""
    try:
        told = _decode_told(verdict)
    except msgspec.DecodeError as error:
        raise InvariantError(f"the store holds a verdict that is none: {type(error).__name__}") from None
    return Answer(verdict, told.decision, told.score, any(reason.code == CONTROL_CODE for reason in told.reasons))


def is_history(transaction: Transaction) -> bool:
    """Whether it came from a snapshot or a replay: it fills windows, and nobody waits for its verdict."""
    return transaction.origin.phase in HISTORY_PHASES


def is_late(transaction: Transaction, moment: Moment) -> bool:
    """Whether nobody waits at the till any more."""
    return transaction.event_time < moment.late_before or is_history(transaction)


def build_degraded_verdict(
    transaction: Transaction,
    event: RawEvent,
    moment: Moment,
    *,
    decision: Decision,
    cause: DegradedCause,
    rules_version: str,
    stage_us: dict[str, float],
) -> bytes:
    """Revision 0; the full answer follows."""
    return encode(
        Verdict(
            transaction_id=transaction.transaction_id,
            retailer=transaction.retailer,
            revision=REVISION_DEGRADED,
            decision=decision,
            score=None,
            reasons=[Reason(code="policy:fallback", text=DEGRADED_TEXTS[cause], weight=1.0)],
            model_version=None,
            rules_version=rules_version,
            feature_schema=get_schema_hash(),
            rules=[],
            degraded=True,
            cause=cause,
            late=is_late(transaction, moment),
            event_time=transaction.event_time,
            scored_at=moment.now,
            latency_ms=moment.compute_latency_ms(event),
            stage_us=stage_us,
        )
    )


def choose_key(event: RawEvent) -> bytes:
    """The key of messages about an event whose transaction_id is not known: the source's, else its coordinates.

    Never empty: topics are compacted, and under one common key only the newest message would stay.
    """
    return event.key or f"{event.topic}/{event.partition}/{event.offset}".encode()


def build_dead_letter(
    event: RawEvent, error: InvalidEventError, *, retailer: str, now: datetime, transaction_id: str | None = None
) -> EventResult:
    """The result of a message that cannot be used: one dead letter that names it."""
    value = event.value
    letter = DeadLetter(
        retailer=retailer,
        part="scoring",
        reason=error.reason,
        detail=error.detail[:DETAIL_MAX],
        source=event.topic[-256:],
        position=f"{event.partition}:{event.offset}",
        failed_at=now,
        key=None if transaction_id is None else transaction_id[:KEY_MAX],
        # A larger document would not pass the broker in its turn; its coordinates find it.
        payload=value if value is not None and len(value) <= DOCUMENT_BYTES_MAX else None,
    )
    key = choose_key(event) if transaction_id is None else transaction_id.encode()
    return EventResult(key=key, dead_letter=encode(letter))
