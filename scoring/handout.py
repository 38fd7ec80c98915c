"""The last stage: judged rows become outcomes, and whatever is not allowed is on record before it is handed out."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.settings import Settings
from contract.verdicts import REVISION_FULL, Decision, Verdict
from scoring.answers import Moment, feature_record, full_verdict, is_history
from scoring.batch import Batch
from scoring.judge import Judged
from scoring.ports import Applied, Case, CaseStore, Outcome, StoreUnavailableError
from scoring.rules import DECISIONS, Ruleset


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


class _Answer(NamedTuple):
    row: int
    decision: Decision
    score: float
    verdict: bytes
    case: Case | None = None
    """To be opened first."""


class Handout:
    """Used by one thread."""

    def __init__(self, cases: CaseStore, settings: Settings) -> None:
        self._cases = cases
        self._hold_for = timedelta(seconds=settings.scoring.hold.expires_after_s)
        self._case_kept = timedelta(days=settings.retention.case_days)
        self._verdicts = msgspec.json.Decoder(Verdict)

    def hand_out(self, answered: Answered) -> list[int]:
        """Sets the outcomes of all rows but those returned: their verdicts could not be put on record."""
        decisions = [DECISIONS[severity] for severity in answered.judged.severities.tolist()]
        scores = answered.judged.scores.tolist()
        stage_us = stage_times_us(answered.batch)
        plain = [place for place, decision in enumerate(decisions) if decision == "allow"]
        for place in plain:
            _set(answered, _answer(answered, place, "allow", scores[place], stage_us=stage_us, hold_until=None))
        if len(plain) == len(decisions):
            return []
        others = [place for place, decision in enumerate(decisions) if decision != "allow"]
        try:
            answers = [
                self._recorded(answered, place, decisions[place], scores[place], stage_us=stage_us) for place in others
            ]
            cases = [answer.case for answer in answers if answer.case is not None]
            if cases:
                self._cases.open(cases)
        except StoreUnavailableError:
            return [answered.rows[place] for place in others]
        for answer in answers:
            _set(answered, answer)
        return []

    def _recorded(
        self, answered: Answered, place: int, decision: Decision, score: float, *, stage_us: dict[str, float]
    ) -> _Answer:
        """The answer given before where the store has it, to the bit; else a new one with its case."""
        row = answered.rows[place]
        transaction = answered.batch.transactions[row]
        if not answered.applied.first[row]:
            case = self._cases.get(transaction.transaction_id)
            if case is not None and case.revision == REVISION_FULL:
                given = self._verdicts.decode(case.verdict)
                return _Answer(row, given.decision, given.score or 0.0, case.verdict)
        hold_until = self._hold_until(answered, row, decision)
        answer = _answer(answered, place, decision, score, stage_us=stage_us, hold_until=hold_until)
        if is_history(transaction) and transaction.event_time < answered.moment.now - self._case_kept:
            return answer  # nobody reviews what is older than reviews are kept
        return answer._replace(case=Case(transaction.transaction_id, REVISION_FULL, answer.verdict, hold_until))

    def _hold_until(self, answered: Answered, row: int, decision: Decision) -> datetime | None:
        """When policy ends a hold; None for history, where no customer waits and none could pass a verification."""
        if decision != "hold" or is_history(answered.batch.transactions[row]):
            return None
        return answered.moment.now + self._hold_for


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
    hold_until: datetime | None,
) -> _Answer:
    row, judged, batch = answered.rows[place], answered.judged, answered.batch
    reasons = judged.reasons.get(place)
    verdict = full_verdict(
        batch.transactions[row],
        batch.events[batch.places[row]],
        answered.moment,
        decision=decision,
        score=score,
        reasons=reasons or [],
        model_version=answered.model_version,
        rules_version=answered.rules.version,
        rules=[rule.id for rule, hit in zip(answered.rules.rules, judged.fired[place], strict=True) if hit]
        if reasons
        else [],
        stage_us=stage_us,
        hold_until=hold_until,
    )
    return _Answer(row, decision, score, verdict)


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
    )
    batch.decisions[answer.decision, False] += 1
    event = batch.events[batch.places[row]]
    batch.latencies_ms.append(answered.moment.latency_ms(event))
    batch.outcomes[batch.places[row]] = Outcome(
        key=transaction.transaction_id.encode(), verdict=answer.verdict, features=record
    )
