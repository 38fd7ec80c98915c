"""The end of holds and reviews: resolutions and expiry become the next revision of a verdict, once each.

Idempotent by cause: a resolution that is read again gives the stored verdict again. An expiry has no message that would be
read again after a crash, so it stays on a lease in the store until its verdict is known to be published.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog

from contract.clock import Clock
from contract.codec import Admission, Decoder
from contract.errors import InvalidEventError, InvariantError
from contract.events import Label, LabelSource, Origin, Resolution, ResolutionKind
from contract.metrics import Metrics
from contract.verdicts import Decision, Reason, Verdict
from scoring.engine.answers import build_dead_letter, choose_key, encode
from scoring.ports import Case, CaseStore, EventResult, RawEvent, RevisionConflictError, StoreUnavailableError

EXPIRED = "expired"
EXPIRY_CAUSE = "expiry"
PUBLISHED_CAUSE = "expiry-published"
EXPIRY_LEASE = timedelta(seconds=60)
EXPIRY_LEASE_MAX = timedelta(hours=1)
"""An expiry whose publication nobody confirmed by then is published again, the same; less and less often, since each
time leaves a trace in the store."""

log = structlog.get_logger()


class _Meaning(NamedTuple):
    decision: Decision
    text: str
    fraud: bool
    source: LabelSource


MEANINGS: dict[ResolutionKind, _Meaning] = {
    "step_up_passed": _Meaning("allow", "the customer passed the extra verification", False, "step_up"),
    "step_up_failed": _Meaning("block", "the customer failed the extra verification", True, "step_up"),
    "approved": _Meaning("allow", "approved by an analyst", False, "analyst"),
    "rejected": _Meaning("block", "rejected by an analyst", True, "analyst"),
}


class CaseResolver:
    """Used by one thread."""

    def __init__(
        self, cases: CaseStore, clock: Clock, metrics: Metrics, *, admission: Admission, on_expiry: Decision
    ) -> None:
        """`on_expiry` is the decision on a hold that nobody resolved in time."""
        self._cases = cases
        self._admission = admission
        self._retailer = admission.retailer
        self._on_expiry = on_expiry
        self._clock = clock
        self._metrics = metrics
        self._resolutions = Decoder(Resolution)
        self._verdicts = msgspec.json.Decoder(Verdict)

    def resolve(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """One result per resolution: the next revision and a label, a dead letter, or `complete=False` without the store."""
        return [self._resolve(event) for event in events]

    def _resolve(self, event: RawEvent) -> EventResult:
        known: str | None = None
        try:
            resolution = self._resolutions.decode(event.value)
            known = resolution.transaction_id
            return self._settle(resolution)
        except InvalidEventError as error:
            self._metrics.add("tillguard_scoring_dead_letters_total", retailer=self._retailer, reason=error.reason)
            return build_dead_letter(event, error, retailer=self._retailer, now=self._clock.now(), transaction_id=known)
        except StoreUnavailableError:
            return EventResult(key=choose_key(event), complete=False)

    def _settle(self, resolution: Resolution) -> EventResult:
        if resolution.retailer != self._retailer:
            raise InvalidEventError("retailer_mismatch", "field retailer names another retailer")
        # it becomes the label's time, and learning never uses a label before its time
        self._admission.check_time("resolved_at", resolution.resolved_at, self._clock.now())
        case = self._cases.get(resolution.transaction_id)
        if case is None:
            raise InvalidEventError(
                "not_resolvable", "no held, flagged or blocked verdict is known under transaction_id"
            )
        current = self._decoded(case)
        meaning = MEANINGS[resolution.outcome]
        following = self._next(current, meaning.decision, resolution.outcome, meaning.text)
        # What somebody already resolved stands; asking the store all the same finds out whether it was this resolution.
        settled = current.outcome not in {None, EXPIRED}
        expected = case.revision - 1 if settled else case.revision
        try:
            stored = self._cases.close(
                Case(case.transaction_id, following.revision, encode(following), None),
                expected_revision=expected,
                cause_id=resolution.resolution_id,
            )
        except RevisionConflictError:
            raise InvalidEventError("conflict", "another resolution of this transaction came first") from None
        return EventResult(key=case.transaction_id.encode(), verdict=stored, labels=[_label(resolution)])

    def expire(self, limit: int) -> list[EventResult]:
        """The next revisions of up to `limit` holds whose time is over; raises StoreUnavailableError.

        Each comes again after a while until `confirm` was called for it.
        """
        now = self._clock.now()
        results = [self._expire(case, now) for case in self._cases.list_expired(now, limit)]
        return [result for result in results if result is not None]

    def _expire(self, case: Case, now: datetime) -> EventResult | None:
        verdict, data = self._decoded(case), case.verdict
        again = verdict.outcome == EXPIRED
        if not again:
            text = f"nobody decided in time: {self._on_expiry} by policy"
            verdict = self._next(verdict, self._on_expiry, EXPIRED, text)
            data = encode(verdict)
        lease = min(EXPIRY_LEASE + (now - verdict.scored_at), EXPIRY_LEASE_MAX)
        leased = Case(case.transaction_id, verdict.revision, data, now + lease)
        cause = f"{EXPIRY_CAUSE}-{now.timestamp()}" if again else EXPIRY_CAUSE
        try:
            stored = self._cases.close(leased, expected_revision=case.revision, cause_id=cause)
        except RevisionConflictError:  # a resolution or another worker was faster
            return None
        if not again:
            self._metrics.add("tillguard_scoring_holds_expired_total", retailer=self._retailer)
        return EventResult(key=case.transaction_id.encode(), verdict=stored)

    def confirm(self, results: Sequence[EventResult]) -> None:
        """Called when the verdicts of `expire` are delivered. What cannot be noted now comes again, the same."""
        for result in results:
            transaction_id = result.key.decode()
            try:
                case = self._cases.get(transaction_id)
                if case is None or case.open_until is None or case.verdict != result.verdict:
                    continue
                done = Case(transaction_id, case.revision, case.verdict, None)
                self._cases.close(done, expected_revision=case.revision, cause_id=PUBLISHED_CAUSE)
            except RevisionConflictError:
                continue
            except StoreUnavailableError:
                log.warning("expiry_not_confirmed", transactions=len(results))
                return

    def _decoded(self, case: Case) -> Verdict:
        try:
            return self._verdicts.decode(case.verdict)
        except msgspec.DecodeError as error:
            raise InvariantError(f"the store holds a verdict that is none: {type(error).__name__}") from None

    def _next(self, current: Verdict, decision: Decision, outcome: str, text: str) -> Verdict:
        now = self._clock.now()
        since_ms = (now - current.scored_at) / timedelta(milliseconds=1)
        return msgspec.structs.replace(
            current,
            revision=current.revision + 1,
            decision=decision,
            reasons=[Reason(code=f"policy:{outcome}", text=text, weight=1.0), *current.reasons],
            scored_at=now,
            latency_ms=current.latency_ms + max(0.0, since_ms),
            stage_us={},
            hold_until=None,
            outcome=outcome,
        )


def _label(resolution: Resolution) -> bytes:
    """What the resolution teaches; the same bytes for the same resolution."""
    meaning = MEANINGS[resolution.outcome]
    return encode(
        Label(
            transaction_id=resolution.transaction_id,
            retailer=resolution.retailer,
            fraud=meaning.fraud,
            source=meaning.source,
            label_time=resolution.resolved_at,
            ingest_time=resolution.resolved_at,
            origin=Origin(connector="scoring", phase="direct", source="resolutions", position=resolution.resolution_id),
        )
    )
