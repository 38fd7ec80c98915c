"""The scoring use case: records in, messages out. Knows no Kafka, Redis or Faust; one instance per scoring thread.

Every event gets exactly one outcome, whatever its bytes and whatever fails: a verdict with its feature record, a degraded
verdict, a dead letter, or (for events answered degraded before) nothing yet.

What a redelivered transaction is told is what it was told first: window values, model version, rules version and marks come
from its first sight, and everything after them is a pure function of these and the transaction.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from contract.clock import Clock
from contract.errors import InvalidEventError, InvariantError
from contract.metrics import Metrics
from contract.settings import Settings
from contract.verdicts import DegradedCause
from scoring.decision.decide import fallback
from scoring.engine.answers import Moment, dead_letter, degraded_verdict, is_history, is_late
from scoring.engine.batch import Batch, read
from scoring.engine.control import Control
from scoring.engine.coverage import expects_risk
from scoring.engine.judge import Judge, Judged, Rows
from scoring.engine.resolutions import CaseResolver
from scoring.engine.shadow import Shadow, ShadowWork, shadow_work
from scoring.engine.verdict_writer import Answered, VerdictWriter, stage_times_us
from scoring.features import Floats, as_vectors, quantities, window_updates
from scoring.models.cache import ModelCache
from scoring.models.challenger import canary_rows
from scoring.models.onnx_model import ModelFailedError, OnnxModel
from scoring.models.time_limit import LateError
from scoring.ports import (
    Applied,
    CaseStore,
    EventResult,
    RawEvent,
    RulesArchive,
    StateCoverage,
    StoreUnavailableError,
    WindowStore,
)
from scoring.rules.ruleset import Ruleset
from scoring.rules.versions import DirectoryRulesArchive, RulesetCache

WAIT_MIN_S = 0.001
"""An answer that is already there is taken even when the budget is spent."""

log = structlog.get_logger()


class _Work(msgspec.Struct, frozen=True):
    """A batch with the store's answer and the features that follow from it."""

    batch: Batch
    applied: Applied
    table: Floats
    vectors: NDArray[np.float32]


class Engine:
    """Scores one retailer's transactions. At most a few batches are open at once, collected in their order."""

    def __init__(  # noqa: PLR0917 - the composition root names every port once
        self,
        store: WindowStore,
        cases: CaseStore,
        cache: ModelCache,
        rules: Ruleset,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        *,
        archive: RulesArchive | None = None,
        shadow: Shadow | None = None,
        state: StateCoverage | None = None,
    ) -> None:
        """Takes every port; `archive` keeps old rules, in files of this machine where none is given, `shadow` hears challengers.

        `state` knows what the store holds; without it no verdict says what its score did not know of.
        """
        self._state = state
        self._store = store
        self._cases = cases
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._admission = settings.admission
        self._rules = RulesetCache(
            rules, archive or DirectoryRulesArchive(settings.scoring.model_directory / "rules"), clock
        )
        self._judge = Judge(clock, settings.base_currency, Control.of(settings.scoring))
        self._resolver = CaseResolver(cases, settings, clock, metrics)
        self._writer = VerdictWriter(cases, settings, clock, metrics)
        self._shadow = shadow
        self._shadow_work: list[ShadowWork] = []

    def submit(self, events: Sequence[RawEvent]) -> Batch:
        """Decodes a batch and sends it to the store without waiting; the batch is the ticket for `collect`."""
        return self._start(events, again=False)

    def collect(self, ticket: Batch) -> list[EventResult]:
        """Finishes the oldest open batch: one outcome per event, in their order; blocks for the time budget at most."""
        if ticket.transactions:
            applied = self._applied(ticket)
            if applied is None:
                self._degrade(ticket, range(len(ticket.transactions)))
            else:
                self._answer(ticket, applied)
        self._count(ticket)
        outcomes = [outcome for outcome in ticket.outcomes if outcome is not None]
        if len(outcomes) != len(ticket.events):
            raise InvariantError("an event was left without an outcome")
        return outcomes

    def score(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """`collect(submit(events))`."""
        return self.collect(self.submit(events))

    def again(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """Tries events again that were answered degraded: the full answer, or `complete=False` without any message."""
        return self.collect(self._start(events, again=True))

    def published(self) -> None:
        """The answers have left: what a challenger would have said may be asked now, and the breaker told of the traffic."""
        self._writer.report_traffic()
        if self._shadow is not None:
            for work in self._shadow_work:
                self._shadow.offer(work)
        self._shadow_work.clear()

    def resolve(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """One outcome per record of the resolutions topic; see CaseResolver.resolve."""
        return self._resolver.resolve(events)

    def expire_holds(self, limit: int) -> list[EventResult]:
        """Verdicts of up to `limit` holds whose time is over; `confirm_expired` them once delivered.

        Raises StoreUnavailableError.
        """
        return self._resolver.expire(limit)

    def confirm_expired(self, outcomes: Sequence[EventResult]) -> None:
        """Takes delivered outcomes of `expire_holds` off the list; unconfirmed ones come again after a minute."""
        self._resolver.confirm(outcomes)

    def use_rules(self, rules: Ruleset) -> None:
        """From the next batch on `rules` decide what was not seen before."""
        self._rules.use(rules)

    def _start(self, events: Sequence[RawEvent], *, again: bool) -> Batch:
        started_s = self._clock.monotonic_s()
        now = self._clock.now()
        batch = read(events, self._admission, now)
        batch.again = again
        batch.deadline_s = started_s + self._time_limit_s(batch, Moment.at(now, self._settings.scoring.late_after_s))
        batch.window_updates = window_updates(batch.transactions, batch.amounts, batch.times_ms)
        sent_s = self._clock.monotonic_s()
        batch.seconds["decode"] = sent_s - started_s
        if batch.window_updates:
            self._send(batch)
        batch.seconds["windows"] = self._clock.monotonic_s() - sent_s
        return batch

    def _time_limit_s(self, batch: Batch, moment: Moment) -> float:
        """The budget where somebody waits at a till; else what a store that works takes at most."""
        if batch.again or all(
            event.given_up(moment.now_ms) or is_late(transaction, moment)
            for transaction, event in zip(batch.transactions, map(batch.events.__getitem__, batch.places), strict=True)
        ):
            return max(self._settings.redis.timeout_s, self._settings.scoring.budget_ms / 1000)
        return self._settings.scoring.budget_ms / 1000

    def _send(self, batch: Batch) -> None:
        serving = self._cache.serving
        if serving is None:  # nothing could be pinned; the store is asked when there is a model
            batch.cause = "model_unavailable"
            return
        if not self._rules.keep_archived():  # whoever answers again must be able to find what was pinned
            batch.cause = "state_unavailable"
            return
        try:
            batch.store_ticket = self._store.send(
                batch.window_updates,
                serving.version,
                self._rules.current.version,
                canary_rows(self._cache.challenger, batch.transactions),
            )
        except StoreUnavailableError:
            batch.cause = "state_unavailable"

    def _applied(self, batch: Batch) -> Applied | None:
        if batch.store_ticket is None:
            return None
        started_s = self._clock.monotonic_s()
        try:
            return batch.store_ticket.wait(max(batch.deadline_s - started_s, WAIT_MIN_S))
        except StoreUnavailableError:
            late = self._clock.monotonic_s() >= batch.deadline_s
            batch.cause = "state_late" if late else "state_unavailable"
            return None
        finally:
            batch.seconds["windows"] += self._clock.monotonic_s() - started_s

    def _answer(self, batch: Batch, applied: Applied) -> None:
        started_s = self._clock.monotonic_s()
        table = quantities(
            batch.transactions,
            batch.amounts,
            applied.aggregates,
            base_currency=self._settings.base_currency,
            times_ms=batch.times_ms,
        )
        work = _Work(batch, applied, table, as_vectors(table))
        batch.seconds["features"] = self._clock.monotonic_s() - started_s
        for row in np.flatnonzero(applied.conflict).tolist():
            self._refuse_conflict(batch, row)
        batch.seen_before = int(np.count_nonzero(~applied.first))
        for (model_version, rules_version), rows in self._in_turn(_pinned_alike(applied)):
            cause = self._answer_rows(work, rows, model_version, rules_version)
            if cause is not None:
                batch.cause = cause
                self._degrade(batch, rows)

    def _in_turn(self, groups: dict[tuple[str, str], list[int]]) -> Iterable[tuple[tuple[str, str], list[int]]]:
        """The serving model's rows first: a canary that takes the whole time budget takes it from its own rows alone."""
        serving = self._cache.serving
        if len(groups) < 2 or serving is None:
            return groups.items()
        return sorted(groups.items(), key=lambda group: group[0][0] != serving.version)

    def _refuse_conflict(self, batch: Batch, row: int) -> None:
        place = batch.places[row]
        error = InvalidEventError("conflict", "this transaction_id was seen before with other content")
        batch.refused["conflict"] += 1
        batch.outcomes[place] = dead_letter(
            batch.events[place],
            error,
            retailer=self._settings.retailer,
            now=self._clock.now(),
            transaction_id=batch.transactions[row].transaction_id,
        )

    def _answer_rows(
        self, work: _Work, rows: list[int], model_version: str, rules_version: str
    ) -> DegradedCause | None:
        """Answers rows pinned to one model and one set of rules; a cause where it cannot."""
        started_s = self._clock.monotonic_s()
        model = self._cache.get(model_version)
        if model is None:
            return "model_unavailable"
        try:
            rules = self._pinned_rules(rules_version)
            judged = self._judge.judge(_select(work, rows), model, rules, work.batch.deadline_s)
        except StoreUnavailableError:
            return "state_unavailable"
        except LateError:
            return "model_late"
        except ModelFailedError as error:
            log.error("model_failed", model_version=model_version, reason=str(error))  # noqa: TRY400 - the text says it all
            return "model_unavailable"
        seconds = work.batch.seconds
        seconds["model"] = seconds.get("model", 0.0) + judged.model_s
        taken_s = self._clock.monotonic_s() - started_s - judged.model_s
        seconds["decide"] = seconds.get("decide", 0.0) + taken_s
        moment = Moment.at(self._clock.now(), self._settings.scoring.late_after_s)
        unrecorded = self._writer.write(
            Answered(
                work.batch,
                work.applied,
                work.vectors,
                rows,
                judged,
                model_version,
                rules,
                moment,
                self._incomplete(work.batch, rows, model),
            )
        )
        self._count_rules(judged, rules)
        self._note_for_shadow(work, rows, judged, model)
        if unrecorded:
            work.batch.cause = "state_unavailable"
            self._degrade(work.batch, unrecorded)
        return None

    def _incomplete(self, batch: Batch, rows: list[int], model: OnnxModel) -> list[list[str]]:
        if self._state is None:
            return [[]] * len(rows)
        risk, state = expects_risk(model.manifest), self._state
        return [
            state.incomplete(batch.times_ms[row], risk=risk, live=not is_history(batch.transactions[row]))
            for row in rows
        ]

    def _note_for_shadow(self, work: _Work, rows: list[int], judged: Judged, champion: OnnxModel) -> None:
        """Keeps what a challenger should score until the answers have left."""
        challenger = self._cache.challenger
        if self._shadow is None or challenger is None or challenger.model.version == champion.version:
            return
        found = shadow_work(
            challenger.model,
            champion,
            work.batch,
            work.applied,
            vectors=work.vectors,
            rows=rows,
            scores=judged.scores,
        )
        if found is not None:
            self._shadow_work.append(found)

    def _pinned_rules(self, version: str) -> Ruleset:
        rules = self._rules.get(version)
        if rules is None:
            log.error("pinned_rules_missing", rules_version=version, used=self._rules.current.version)
            return self._rules.current
        return rules

    def _degrade(self, batch: Batch, rows: Iterable[int]) -> None:
        """Revision 0 for rows that cannot be answered in full now; nothing again for those that had it before."""
        cause = batch.cause or "state_unavailable"
        moment = Moment.at(self._clock.now(), self._settings.scoring.late_after_s)
        stage_us = stage_times_us(batch)
        for row in rows:
            place, transaction = batch.places[row], batch.transactions[row]
            outcome = EventResult(key=transaction.transaction_id.encode(), complete=False)
            if not batch.again:
                decision = fallback(batch.amounts[row], self._settings.base_currency, self._settings.scoring.fallback)
                outcome.verdict = degraded_verdict(
                    transaction,
                    batch.events[place],
                    moment,
                    decision=decision,
                    cause=cause,
                    rules_version=self._rules.current.version,
                    stage_us=stage_us,
                )
                batch.decisions[decision, True] += 1
                batch.latencies_ms.append(moment.latency_ms(batch.events[place]))
            batch.outcomes[place] = outcome

    def _count_rules(self, judged: Judged, rules: Ruleset) -> None:
        if not judged.reasons:
            return
        retailer = self._settings.retailer
        for rule, hits in zip(rules.rules, judged.fired.sum(axis=0).tolist(), strict=True):
            if hits:
                self._metrics.add("tillguard_scoring_rule_hits_total", hits, retailer=retailer, rule=rule.id)

    def _count(self, batch: Batch) -> None:
        metrics, retailer = self._metrics, self._settings.retailer
        if not batch.again:
            metrics.add("tillguard_scoring_events_total", len(batch.events), retailer=retailer)
            metrics.observe("tillguard_scoring_batch_events", len(batch.events), retailer=retailer)
            if batch.seen_before:
                metrics.add("tillguard_scoring_redelivered_total", batch.seen_before, retailer=retailer)
        for (decision, degraded), count in batch.decisions.items():
            labels = {"decision": decision, "degraded": str(degraded).lower()}
            metrics.add("tillguard_scoring_verdicts_total", count, retailer=retailer, **labels)
        for reason, count in batch.refused.items():
            metrics.add("tillguard_scoring_dead_letters_total", count, retailer=retailer, reason=reason)
        for stage, seconds in batch.seconds.items():
            metrics.observe("tillguard_scoring_stage_seconds", seconds, retailer=retailer, stage=stage)
        latencies_s = [latency_ms / 1000 for latency_ms in batch.latencies_ms]
        metrics.observe_all("tillguard_scoring_latency_seconds", latencies_s, retailer=retailer)


def _pinned_alike(applied: Applied) -> dict[tuple[str, str], list[int]]:
    """Rows by pinned model and rules, without conflicts; normally one group."""
    groups: dict[tuple[str, str], list[int]] = {}
    versions = zip(applied.model_versions, applied.rules_versions, strict=True)
    for row, (pinned, conflict) in enumerate(zip(versions, applied.conflict.tolist(), strict=True)):
        if not conflict:
            groups.setdefault(pinned, []).append(row)
    return groups


def _select(work: _Work, rows: list[int]) -> Rows:
    batch, marks = work.batch, work.applied.marks
    times = np.array(batch.times_ms, dtype=np.int64)
    if len(rows) == len(batch.transactions):
        return Rows(batch.transactions, times, work.table, work.vectors, marks)
    return Rows(
        [batch.transactions[row] for row in rows],
        times[rows],
        work.table[rows],
        work.vectors[rows],
        [marks[row] for row in rows],
    )
