"""The last stage: judged rows become outcomes, and whatever is not allowed is on record before it is handed out."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.clock import Clock
from contract.metrics import Metrics
from contract.settings import Settings
from contract.verdicts import REVISION_FULL, Decision, Reason, Verdict
from scoring.decision.breaker import Limits
from scoring.engine.answers import Moment, feature_record, full_verdict, is_history, is_late
from scoring.engine.batch import Batch
from scoring.engine.control import CONTROL_CODE, CONTROL_REASON
from scoring.engine.judge import Judged
from scoring.features import entities_of
from scoring.ports import Applied, Case, CaseStore, EventResult, StoreUnavailableError
from scoring.rules.ruleset import DECISIONS, Ruleset

BREAKER_REASON = Reason(
    code="policy:breaker", text="not stopped: more holds and blocks than the retailer allows; look at it", weight=1.0
)
TELL_EVERY_S = 1.0


class Answered(NamedTuple):
    """Rows of a batch that were judged together."""

    batch: Batch
    applied: Applied
    vectors: NDArray[np.float32]
    """Shape (n, F), of the whole batch."""
    rows: list[int]
    """Rows of the batch; the judgement's rows run in step."""
    judged: Judged
    model_version: str
    rules: Ruleset
    moment: Moment
    incomplete: list[list[str]]
    """Per row of `rows`: what the state did not hold for it."""


class _Answer(NamedTuple):
    row: int
    decision: Decision
    score: float
    verdict: bytes
    control: bool = False
    case: Case | None = None
    """To be opened first."""


class VerdictWriter:
    """Used by one thread."""

    def __init__(self, cases: CaseStore, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._cases = cases
        self._clock = clock
        self._metrics = metrics
        self._retailer = settings.retailer
        self._limits = Limits.of(settings.scoring.breaker)
        self._hold_for = timedelta(seconds=settings.scoring.hold.expires_after_s)
        self._case_kept = timedelta(days=settings.retention.case_days)
        self._verdicts = msgspec.json.Decoder(Verdict)
        self._passed = 0
        """Live transactions that the breaker has not been told of."""
        self._told_s = float("-inf")

    def write(self, answered: Answered) -> list[int]:
        """Sets the outcomes of all rows but those returned: their verdicts could not be put on record."""
        decisions = [DECISIONS[severity] for severity in answered.judged.severities.tolist()]
        scores = answered.judged.scores.tolist()
        stage_us = stage_times_us(answered.batch)
        passed_before = self._passed
        self._count_passed(answered)
        plain = [place for place, decision in enumerate(decisions) if decision == "allow"]
        for place in plain:
            _set(answered, _answer(answered, place, "allow", scores[place], stage_us=stage_us))
        if len(plain) == len(decisions):
            return []
        others = [place for place, decision in enumerate(decisions) if decision != "allow"]
        answers = [self._with_case(answered, place, decisions[place], scores[place], stage_us) for place in others]
        try:
            standing = self._on_record(answers)
        except StoreUnavailableError:
            self._passed = passed_before  # these rows come again, and are counted then
            return [answered.rows[place] for place in others]
        for answer in standing:
            _set(answered, answer)
        return []

    def report_traffic(self) -> None:
        """Tells the breaker of the traffic, once a second, when the answers have left. Without the store it is told later."""
        now_s = self._clock.monotonic_s()
        if not self._passed or now_s - self._told_s < TELL_EVERY_S:
            return
        self._told_s = now_s
        with suppress(StoreUnavailableError):
            self._cases.passed(self._passed)
            self._passed = 0

    def _count_passed(self, answered: Answered) -> None:
        if self._limits.share_max is None:
            return
        batch, first = answered.batch, answered.applied.first
        self._passed += sum(
            1
            for row in answered.rows
            if (first[row] or batch.again) and not is_late(batch.transactions[row], answered.moment)
        )

    def _with_case(
        self, answered: Answered, place: int, decision: Decision, score: float, stage_us: dict[str, float]
    ) -> _Answer:
        """The answer that is wanted, with its case; where the breaker has a say, with what is told in its place."""
        row = answered.rows[place]
        transaction = answered.batch.transactions[row]
        hold_until = self._hold_until(answered, row, decision)
        wanted = _answer(answered, place, decision, score, stage_us=stage_us, hold_until=hold_until)
        if is_history(transaction) and transaction.event_time < answered.moment.now - self._case_kept:
            return wanted  # nobody reviews what is older than reviews are kept
        otherwise = None
        if self._limits.on and _is_stoppable(answered, row, decision):
            otherwise = _answer(answered, place, "flag", score, stage_us=stage_us, policy=BREAKER_REASON).verdict
        return wanted._replace(
            case=Case(transaction.transaction_id, REVISION_FULL, wanted.verdict, hold_until, otherwise)
        )

    def _on_record(self, answers: list[_Answer]) -> list[_Answer]:
        """The answers that stand: what was told before, to the bit, and what the breaker left of the others."""
        cases = [answer.case for answer in answers if answer.case is not None]
        if not cases:
            return answers
        verdicts = iter(self._cases.open(cases, self._passed))
        self._passed, self._told_s = 0, self._clock.monotonic_s()
        return [
            answer if answer.case is None else self._standing(answer, answer.case, next(verdicts)) for answer in answers
        ]

    def _standing(self, answer: _Answer, case: Case, verdict: bytes) -> _Answer:
        if verdict == answer.verdict:
            if answer.control:
                self._metrics.add("tillguard_scoring_control_total", retailer=self._retailer)
            return answer
        if verdict is case.otherwise:
            self._metrics.add("tillguard_scoring_breaker_flagged_total", retailer=self._retailer)
        given = self._verdicts.decode(verdict)
        control = any(reason.code == CONTROL_CODE for reason in given.reasons)
        return answer._replace(decision=given.decision, score=given.score or 0.0, verdict=verdict, control=control)

    def _hold_until(self, answered: Answered, row: int, decision: Decision) -> datetime | None:
        """When policy ends a hold; None for history, where no customer waits and none could pass a verification."""
        if decision != "hold" or is_history(answered.batch.transactions[row]):
            return None
        return answered.moment.now + self._hold_for


def _is_stoppable(answered: Answered, row: int, decision: Decision) -> bool:
    """Whether the breaker has a say: a live hold or block that no person's `deny` list asked for."""
    return (
        decision in {"hold", "block"}
        and not is_late(answered.batch.transactions[row], answered.moment)
        and all(mark.mark != "deny" for mark in answered.applied.marks[row])
    )


def stage_times_us(batch: Batch) -> dict[str, float]:
    """Microseconds per event and stage, so far."""
    count = max(1, len(batch.transactions))
    return {stage: round(seconds / count * 1e6, 1) for stage, seconds in batch.seconds.items()}


def _answer(
    answered: Answered,
    place: int,
    decision: Decision,
    score: float,
    *,
    stage_us: dict[str, float],
    hold_until: datetime | None = None,
    policy: Reason | None = None,
) -> _Answer:
    """`policy` is why the decision is not the one that was wanted."""
    row, judged, batch = answered.rows[place], answered.judged, answered.batch
    reasons = judged.reasons.get(place)
    control = place in judged.control
    policy = policy or (CONTROL_REASON if control else None)
    verdict = full_verdict(
        batch.transactions[row],
        batch.events[batch.places[row]],
        answered.moment,
        decision=decision,
        score=score,
        reasons=[*([policy] if policy else []), *(reasons or [])],
        model_version=answered.model_version,
        rules_version=answered.rules.version,
        rules=[rule.id for rule, hit in zip(answered.rules.rules, judged.fired[place], strict=True) if hit]
        if reasons
        else [],
        stage_us=stage_us,
        hold_until=hold_until,
        incomplete=answered.incomplete[place],
    )
    return _Answer(row, decision, score, verdict, control)


def _set(answered: Answered, answer: _Answer) -> None:
    row, batch = answer.row, answered.batch
    transaction = batch.transactions[row]
    record = feature_record(
        transaction,
        answered.vectors[row],
        applied_seq=int(answered.applied.applied_seq[row]),
        amount_base_minor=batch.amounts[row],
        decision=answer.decision,
        score=answer.score,
        model_version=answered.model_version,
        rules_version=answered.rules.version,
        entities=entities_of(batch.window_updates[row]),
        control=answer.control,
    )
    batch.decisions[answer.decision, False] += 1
    event = batch.events[batch.places[row]]
    batch.latencies_ms.append(answered.moment.latency_ms(event))
    batch.outcomes[batch.places[row]] = EventResult(
        key=transaction.transaction_id.encode(), verdict=answer.verdict, features=record
    )
