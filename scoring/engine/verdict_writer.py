"""The last stage: judged rows become results, and whatever is not allowed is on record before it is published."""

from contextlib import suppress
from datetime import datetime, timedelta

from contract.clock import Clock
from contract.features import FeatureRecord, get_schema_hash
from contract.metrics import Metrics
from contract.verdicts import REVISION_FULL, Decision, Reason, SnoozedRule, Verdict
from scoring.decision.breaker import Limits
from scoring.engine.answers import Moment, encode, is_history, is_late
from scoring.engine.batch import Batch
from scoring.engine.control import CONTROL_REASON
from scoring.engine.judge import Judgement
from scoring.features import encode_entities
from scoring.ports import Answer, CaseStore, EventResult, NewCase, StoreUnavailableError

BREAKER_REASON = Reason(
    code="policy:breaker", text="not stopped: more holds and blocks than the retailer allows; look at it", weight=1.0
)
TELL_EVERY_S = 1.0


class VerdictWriter:
    """Used by one thread."""

    def __init__(
        self,
        cases: CaseStore,
        clock: Clock,
        metrics: Metrics,
        *,
        retailer: str,
        limits: Limits,
        hold_for: timedelta,
        case_kept: timedelta,
        late_after_s: float,
    ) -> None:
        """`limits` are the breaker's, `hold_for` ends a hold; history older than `case_kept` opens no case."""
        self._cases = cases
        self._clock = clock
        self._metrics = metrics
        self._retailer = retailer
        self._limits = limits
        self._hold_for = hold_for
        self._case_kept = case_kept
        self._late_after_s = late_after_s
        self._passed = 0
        """Live transactions that the breaker has not been told of."""
        self._told_s = float("-inf")

    def write(self, batch: Batch, judgement: Judgement) -> list[int]:
        """Sets the results of all rows but those returned: their verdicts could not be put on record."""
        moment = Moment.from_time(self._clock.now(), self._late_after_s)
        stage_us = batch.tally.compute_stage_us()
        passed_before = self._passed
        self._count_passed(batch, moment)
        recorded: list[int] = []
        for row, decision in enumerate(judgement.decisions):
            if decision != "allow" and self._is_reviewed(batch, row, moment):
                recorded.append(row)
            else:
                _set_result(batch, judgement, row, _answer(batch, judgement, row, moment, stage_us), moment)
        if not recorded:
            return []
        cases = [self._new_case(batch, judgement, row, moment, stage_us) for row in recorded]
        try:
            answers = self._cases.open(cases, self._passed)
        except StoreUnavailableError:
            self._passed = passed_before  # these rows come again, and are counted then
            return recorded
        self._passed, self._told_s = 0, self._clock.monotonic_s()
        for row, case, answer in zip(recorded, cases, answers, strict=True):
            self._count_answer(case, answer)
            _set_result(batch, judgement, row, answer, moment)
        return []

    def report_traffic(self) -> None:
        """Tells the breaker of the traffic, once a second, when the answers have left. Without the store it is told later."""
        now_s = self._clock.monotonic_s()
        if not self._passed or now_s - self._told_s < TELL_EVERY_S:
            return
        self._told_s = now_s
        with suppress(StoreUnavailableError):
            self._cases.count_passed(self._passed)
            self._passed = 0

    def _count_passed(self, batch: Batch, moment: Moment) -> None:
        if self._limits.share_max is None:
            return
        self._passed += sum(not is_late(batch.transactions[row], moment) for row in batch.list_new_rows())

    def _is_reviewed(self, batch: Batch, row: int, moment: Moment) -> bool:
        """Whether a person may still look at it: nobody reviews history that is older than reviews are kept."""
        transaction = batch.transactions[row]
        return not is_history(transaction) or transaction.event_time >= moment.now - self._case_kept

    def _new_case(
        self, batch: Batch, judgement: Judgement, row: int, moment: Moment, stage_us: dict[str, float]
    ) -> NewCase:
        """The answer that is wanted; where the breaker has a say, with the one that stands where it does not admit that."""
        transaction, decision = batch.transactions[row], judgement.decisions[row]
        # A hold of history has no end: no customer waits, and none could pass a verification.
        held = decision == "hold" and not is_history(transaction)
        hold_until = moment.now + self._hold_for if held else None
        wanted = _answer(batch, judgement, row, moment, stage_us, hold_until=hold_until)
        otherwise = None
        if self._limits.on and _is_stoppable(batch, row, decision, moment):
            otherwise = _answer(batch, judgement, row, moment, stage_us, flagged=BREAKER_REASON)
        return NewCase(transaction.transaction_id, wanted, hold_until, otherwise)

    def _count_answer(self, case: NewCase, answer: Answer) -> None:
        if answer is case.otherwise:
            self._metrics.add("tillguard_scoring_breaker_flagged_total", retailer=self._retailer)
        elif answer.control and answer.verdict == case.wanted.verdict:
            self._metrics.add("tillguard_scoring_control_total", retailer=self._retailer)


def _is_stoppable(batch: Batch, row: int, decision: Decision, moment: Moment) -> bool:
    """Whether the breaker has a say: a live hold or block that no person's `deny` list asked for."""
    return (
        decision in {"hold", "block"}
        and not is_late(batch.transactions[row], moment)
        and all(mark.mark != "deny" for mark in batch.applied.marks[row])
    )


def _answer(
    batch: Batch,
    judgement: Judgement,
    row: int,
    moment: Moment,
    stage_us: dict[str, float],
    *,
    hold_until: datetime | None = None,
    flagged: Reason | None = None,
) -> Answer:
    """A row's answer; `flagged` is why it is flagged instead of what was decided."""
    transaction, reasons, control = batch.transactions[row], judgement.reasons.get(row, []), row in judgement.control
    policy = flagged or (CONTROL_REASON if control else None)
    verdict = Verdict(
        transaction_id=transaction.transaction_id,
        retailer=transaction.retailer,
        revision=REVISION_FULL,
        decision="flag" if flagged else judgement.decisions[row],
        score=judgement.scores.item(row),
        reasons=[policy, *reasons] if policy else reasons,
        model_version=judgement.model.version,
        rules_version=judgement.rules.version,
        feature_schema=get_schema_hash(),
        rules=[rule.id for rule in judgement.list_rules(row)] if reasons else [],
        degraded=False,
        cause=None,
        late=is_late(transaction, moment),
        event_time=transaction.event_time,
        scored_at=moment.now,
        latency_ms=moment.compute_latency_ms(batch.get_event(row)),
        stage_us=stage_us,
        hold_until=hold_until,
        incomplete=judgement.incomplete[row],
        snoozed=[SnoozedRule(rule=hit.rule, entity=hit.entity) for hit in judgement.snoozed.get(row, ())],
    )
    return Answer(encode(verdict), verdict.decision, judgement.scores.item(row), control)


def _set_result(batch: Batch, judgement: Judgement, row: int, answer: Answer, moment: Moment) -> None:
    """A row's verdict, and what serving saw: the same bytes for a redelivery."""
    transaction = batch.transactions[row]
    record = FeatureRecord(
        transaction_id=transaction.transaction_id,
        retailer=transaction.retailer,
        event_time=transaction.event_time,
        applied_seq=int(batch.applied.applied_seq[row]),
        feature_schema=get_schema_hash(),
        values=batch.vectors[row].astype("<f4", copy=False).tobytes(),
        score=answer.score,
        model_version=judgement.model.version,
        rules_version=judgement.rules.version,
        decision=answer.decision,
        amount_base_minor=batch.amounts[row],
        entities=encode_entities(batch.window_updates[row]),
        control=answer.control,
    )
    batch.tally.verdicts[answer.decision, False] += 1
    batch.tally.latencies_ms.append(moment.compute_latency_ms(batch.get_event(row)))
    batch.set_result(row, EventResult(transaction.transaction_id.encode(), answer.verdict, encode(record)))
