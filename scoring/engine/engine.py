"""The scoring use case: records in, messages out. Knows no Kafka, Redis or Faust; one instance per scoring thread.

Every event gets exactly one result, whatever its bytes and whatever fails: a verdict with its feature record, a degraded
verdict, a dead letter, or (for events answered degraded before) nothing yet.

What a redelivered transaction is told is what it was told first: window values, model version, rules version and marks come
from its first sight, and everything after them is a pure function of these and the transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from contract.clock import Clock
from contract.codec import Admission
from contract.errors import InvalidEventError, InvariantError
from contract.metrics import Metrics
from contract.policies import FallbackSettings, decide_degraded
from contract.verdicts import DegradedCause
from scoring.engine.answers import Moment, build_dead_letter, build_degraded_verdict, is_late
from scoring.engine.batch import Batch, read
from scoring.engine.judge import Judge, Judgement
from scoring.engine.shadow import Shadow, ShadowWork, prepare_shadow_work
from scoring.engine.verdict_writer import VerdictWriter
from scoring.features import as_vectors, compute_quantities
from scoring.models.challenger import choose_canary_rows
from scoring.ports import (
    Applied,
    EventResult,
    LateError,
    ModelFailedError,
    Models,
    RawEvent,
    StoreUnavailableError,
    WindowStore,
)
from scoring.rules.ruleset import Ruleset
from scoring.rules.versions import RulesetCache

WAIT_MIN_S = 0.001
"""An answer that is already there is taken even when the budget is spent."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """How fast answers must be."""

    budget_s: float
    """From receipt to answer, where somebody waits at a till."""
    patience_s: float
    """The same where nobody does: what a store that works takes at most."""
    late_after_s: float
    """A transaction that is older than this when it is answered is late: nobody waits any more."""


class Engine:
    """Scores one retailer's transactions. At most a few batches are open at once, collected in their order."""

    def __init__(  # noqa: PLR0917 - the composition root names everything once
        self,
        store: WindowStore,
        models: Models,
        rulesets: RulesetCache,
        judge: Judge,
        writer: VerdictWriter,
        clock: Clock,
        metrics: Metrics,
        *,
        admission: Admission,
        fallback_settings: FallbackSettings,
        time_budget: TimeBudget,
        shadow: Shadow | None = None,
    ) -> None:
        """Takes every port and every part; `shadow` hears what a challenger should score."""
        self._store = store
        self._models = models
        self._rulesets = rulesets
        self._judge = judge
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._admission = admission
        self._fallback = fallback_settings
        self._time_budget = time_budget
        self._shadow = shadow
        self._shadow_work: list[ShadowWork] = []

    def submit(self, events: Sequence[RawEvent]) -> Batch:
        """Decodes a batch and sends it to the store without waiting; the batch is the ticket for `collect`."""
        return self._start(events, again=False)

    def collect(self, ticket: Batch) -> list[EventResult]:
        """Finishes the oldest open batch: one result per event, in their order; blocks for the time budget at most."""
        if ticket.transactions:
            applied = self._wait_for_store(ticket)
            if isinstance(applied, Applied):
                self._answer(ticket, applied)
            else:
                self._degrade(ticket, applied)
        self._count(ticket)
        results = [result for result in ticket.results if result is not None]
        if len(results) != len(ticket.events):
            raise InvariantError("an event was left without a result")
        return results

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """Tries events again that were answered degraded: the full answer, or `complete=False` without any message."""
        return self.collect(self._start(events, again=True))

    def run_deferred(self) -> None:
        """The answers have left: what a challenger would have said may be asked now, and the breaker told of the traffic."""
        self._writer.report_traffic()
        if self._shadow is not None:
            for work in self._shadow_work:
                self._shadow.offer(work)
        self._shadow_work.clear()

    def _start(self, events: Sequence[RawEvent], *, again: bool) -> Batch:
        started_s = self._clock.monotonic_s()
        now = self._clock.now()
        self._rulesets.take_over()
        batch = read(events, self._admission, now, again=again)
        batch.deadline_s = started_s + self._time_limit_s(batch, Moment.from_time(now, self._time_budget.late_after_s))
        sent_s = self._clock.monotonic_s()
        batch.tally.add_time("decode", sent_s - started_s)
        if batch.window_updates:
            self._send(batch)
        batch.tally.add_time("windows", self._clock.monotonic_s() - sent_s)
        return batch

    def _time_limit_s(self, batch: Batch, moment: Moment) -> float:
        if batch.again or all(
            batch.get_event(row).is_given_up(moment.now_ms) or is_late(transaction, moment)
            for row, transaction in enumerate(batch.transactions)
        ):
            return self._time_budget.patience_s
        return self._time_budget.budget_s

    def _send(self, batch: Batch) -> None:
        serving = self._models.serving
        if serving is None:  # nothing could be pinned; the store is asked when there is a model
            batch.cause = "model_unavailable"
            return
        if not self._rulesets.keep_archived():  # whoever answers again must be able to find what was pinned
            return
        try:
            batch.ticket = self._store.send(
                batch.window_updates,
                serving.version,
                self._rulesets.current.version,
                choose_canary_rows(self._models.challenger, batch.transactions),
            )
        except StoreUnavailableError:
            return

    def _wait_for_store(self, batch: Batch) -> Applied | DegradedCause:
        if batch.ticket is None:
            return batch.cause
        started_s = self._clock.monotonic_s()
        try:
            return batch.ticket.wait(max(batch.deadline_s - started_s, WAIT_MIN_S))
        except StoreUnavailableError:
            return "state_late" if self._clock.monotonic_s() >= batch.deadline_s else "state_unavailable"
        finally:
            batch.tally.add_time("windows", self._clock.monotonic_s() - started_s)

    def _answer(self, batch: Batch, applied: Applied) -> None:
        started_s = self._clock.monotonic_s()
        batch.applied = applied
        batch.quantities = compute_quantities(
            batch.transactions,
            batch.amounts,
            applied.aggregates,
            base_currency=self._admission.base_currency,
            times_ms=batch.times_ms,
        )
        batch.vectors = as_vectors(batch.quantities)
        batch.tally.add_time("features", self._clock.monotonic_s() - started_s)
        for row in np.flatnonzero(applied.conflict).tolist():
            self._refuse_conflict(batch, row)
        batch.tally.redelivered = int(np.count_nonzero(~applied.first))
        for (model_version, rules_version), rows in self._in_turn(_pinned_alike(applied)):
            part = batch.take(rows)
            cause = self._answer_part(part, model_version, rules_version)
            if cause is not None:
                self._degrade(part, cause)

    def _in_turn(self, groups: dict[tuple[str, str], list[int]]) -> Iterable[tuple[tuple[str, str], list[int]]]:
        """The serving model's rows first: a canary that takes the whole time budget takes it from its own rows alone."""
        serving = self._models.serving
        if len(groups) < 2 or serving is None:
            return groups.items()
        return sorted(groups.items(), key=lambda group: group[0][0] != serving.version)

    def _refuse_conflict(self, batch: Batch, row: int) -> None:
        error = InvalidEventError("conflict", "this transaction_id was seen before with other content")
        batch.tally.dead_letters["conflict"] += 1
        letter = build_dead_letter(
            batch.get_event(row),
            error,
            retailer=self._admission.retailer,
            now=self._clock.now(),
            transaction_id=batch.transactions[row].transaction_id,
        )
        batch.set_result(row, letter)

    def _answer_part(self, part: Batch, model_version: str, rules_version: str) -> DegradedCause | None:
        """Answers rows pinned to one model and one set of rules; a cause where it cannot."""
        started_s = self._clock.monotonic_s()
        model = self._models.get(model_version)
        if model is None:
            return "model_unavailable"
        try:
            judgement = self._judge.judge(part, model, self._pinned_rules(rules_version))
        except StoreUnavailableError:
            return "state_unavailable"
        except LateError:
            return "model_late"
        except ModelFailedError as error:
            log.error("model_failed", model_version=model_version, reason=str(error))  # noqa: TRY400 - the text says it all
            return "model_unavailable"
        part.tally.add_time("model", judgement.model_s)
        part.tally.add_time("decide", self._clock.monotonic_s() - started_s - judgement.model_s)
        unrecorded = self._writer.write(part, judgement)
        self._count_rules(judgement)
        self._note_for_shadow(part, judgement)
        if unrecorded:
            self._degrade(part.take(unrecorded), "state_unavailable")
        return None

    def _note_for_shadow(self, part: Batch, judgement: Judgement) -> None:
        """Keeps what a challenger should score until the answers have left."""
        challenger = self._models.challenger
        if self._shadow is None or challenger is None or challenger.model.version == judgement.model.version:
            return
        found = prepare_shadow_work(challenger.model, part, judgement)
        if found is not None:
            self._shadow_work.append(found)

    def _pinned_rules(self, version: str) -> Ruleset:
        rules = self._rulesets.get(version)
        if rules is None:
            log.error("pinned_rules_missing", rules_version=version, used=self._rulesets.current.version)
            return self._rulesets.current
        return rules

    def _degrade(self, part: Batch, cause: DegradedCause) -> None:
        """Revision 0 for rows that cannot be answered in full now; nothing again for those that had it before."""
        moment = Moment.from_time(self._clock.now(), self._time_budget.late_after_s)
        stage_us = part.tally.compute_stage_us()
        for row, transaction in enumerate(part.transactions):
            result = EventResult(key=transaction.transaction_id.encode(), complete=False)
            if not part.again:
                decision = decide_degraded(part.amounts[row], self._admission.base_currency, self._fallback)
                result.verdict = build_degraded_verdict(
                    transaction,
                    part.get_event(row),
                    moment,
                    decision=decision,
                    cause=cause,
                    rules_version=self._rulesets.current.version,
                    stage_us=stage_us,
                )
                part.tally.verdicts[decision, True] += 1
                part.tally.latencies_ms.append(moment.compute_latency_ms(part.get_event(row)))
            part.set_result(row, result)

    def _count_rules(self, judgement: Judgement) -> None:
        retailer = self._admission.retailer
        for snoozed in judgement.snoozed.values():
            for silenced in {hit.rule for hit in snoozed}:
                self._metrics.add("tillguard_scoring_rules_snoozed_total", retailer=retailer, rule=silenced)
        if not judgement.reasons:
            return
        for rule, hits in zip(judgement.rules.rules, judgement.fired.sum(axis=0).tolist(), strict=True):
            if hits:
                self._metrics.add("tillguard_scoring_rule_hits_total", hits, retailer=retailer, rule=rule.id)

    def _count(self, batch: Batch) -> None:
        metrics, retailer = self._metrics, self._admission.retailer
        if not batch.again:
            metrics.add("tillguard_scoring_events_total", len(batch.events), retailer=retailer)
            metrics.observe("tillguard_scoring_batch_events", len(batch.events), retailer=retailer)
            if batch.tally.redelivered:
                metrics.add("tillguard_scoring_redelivered_total", batch.tally.redelivered, retailer=retailer)
        batch.tally.report(metrics, retailer)


def _pinned_alike(applied: Applied) -> dict[tuple[str, str], list[int]]:
    """Rows by pinned model and rules, without conflicts; normally one group."""
    groups: dict[tuple[str, str], list[int]] = {}
    versions = zip(applied.model_versions, applied.rules_versions, strict=True)
    for row, (pinned, conflict) in enumerate(zip(versions, applied.conflict.tolist(), strict=True)):
        if not conflict:
            groups.setdefault(pinned, []).append(row)
    return groups
