"""What became known of transactions goes into the risk of entities."""

from collections.abc import Sequence

from contract.clock import Clock
from contract.codec import Admission, Decoder
from contract.errors import InvalidEventError
from contract.metrics import Metrics
from contract.risk import KnownOutcome
from scoring.engine.answers import build_dead_letter, choose_key
from scoring.ports import EventResult, Finding, FindingStore, RawEvent, StoreUnavailableError
from scoring.store.outcomes import build_finding


class OutcomeScorer:
    """A Scorer over the outcomes topic: what became known goes into the risk of entities. Nothing is published but dead letters."""

    def __init__(
        self, store: FindingStore, clock: Clock, metrics: Metrics, *, admission: Admission, timeout_s: float
    ) -> None:
        """`store` is this scorer's own, and may take `timeout_s` to answer."""
        self._store = store
        self._retailer = admission.retailer
        self._timeout_s = timeout_s
        self._admission = admission
        self._clock = clock
        self._metrics = metrics
        self._decoder = Decoder(KnownOutcome)

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[EventResult]:
        results: list[EventResult] = []
        findings: list[Finding] = []
        for event in ticket:
            try:
                if event.value is not None:
                    findings.append(self._finding(event))
                results.append(EventResult(key=choose_key(event)))
            except InvalidEventError as error:
                self._metrics.add("tillguard_scoring_dead_letters_total", retailer=self._retailer, reason=error.reason)
                results.append(build_dead_letter(event, error, retailer=self._retailer, now=self._clock.now()))
        if not findings:
            return results
        try:
            new = self._store.learn(findings).wait(self._timeout_s)
        except StoreUnavailableError:  # all again: what was applied is known then
            return [EventResult(key=choose_key(event), complete=False) for event in ticket]
        self._metrics.add("tillguard_scoring_outcomes_total", new, retailer=self._retailer)
        return results

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        return self.collect(events)

    def run_deferred(self) -> None:
        """Nothing follows."""

    def _finding(self, event: RawEvent) -> Finding:
        outcome = self._decoder.decode(event.value)
        if outcome.retailer != self._retailer:
            raise InvalidEventError("retailer_mismatch", "field retailer names another retailer")
        self._admission.check_time("event_time", outcome.event_time, self._clock.now())
        return build_finding(outcome)
