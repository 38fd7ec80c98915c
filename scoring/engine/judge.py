"""From feature values to decisions and reasons, for rows that share a model and rules. No store, no messages.

The model runs under a time limit; without its scores there is no judgement (the caller answers degraded), without its
explanations there are still scores, rules and lists.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.clock import Clock
from contract.verdicts import DECISIONS, Decision, Reason
from scoring.decision.decide import ALLOW, FLAG, decide_by_model, decide_severities, round_scores, silence_snoozed
from scoring.decision.explain import REASONS_MAX, explain_rule, group_reasons, group_weights, mark_reason, score_reason
from scoring.engine.answers import is_history
from scoring.engine.batch import Batch
from scoring.engine.control import Control, choose_control_rows
from scoring.engine.coverage import needs_risk
from scoring.ports import LateError, Model, ModelFailedError, SnoozeHit, StateCoverage
from scoring.rules.ruleset import Rule, Ruleset

EXPLAINED_ROWS = 64
"""Rows explained by one call; the time limit is looked at between calls."""


@dataclass(slots=True)
class Judgement:
    """The output of the engine: what became of the n rows of a batch, or of a part of one. A row is that batch's."""

    model: Model
    rules: Ruleset
    scores: NDArray[np.float64]
    """Shape (n,), rounded."""
    decisions: list[Decision]
    """By row; of the control group, what they are told."""
    fired: NDArray[np.bool_]
    """Which rules counted, shape (n, rules)."""
    control: frozenset[int]
    """Rows of the control group: flagged instead of a hold or block."""
    model_s: float
    """Seconds of the model's first call."""
    incomplete: list[list[str]]
    """By row: what the state did not hold for it."""
    snoozed: dict[int, list[SnoozeHit]]
    """By row: rules that matched and did not count; rows without an entry have none."""
    reasons: dict[int, list[Reason]] = field(default_factory=dict)
    """By row; rows without an entry have none."""

    def list_rules(self, row: int) -> list[Rule]:
        """The rules that fired, in the order of the ruleset."""
        return [rule for rule, hit in zip(self.rules.rules, self.fired[row], strict=True) if hit]


class Judge:
    """Used by one thread."""

    def __init__(self, clock: Clock, currency: str, control: Control, state: StateCoverage | None = None) -> None:
        """`state` knows what the store holds; without it no judgement says what its score did not know of."""
        self._clock = clock
        self._currency = currency
        self._control = control
        self._state = state

    def judge(self, batch: Batch, model: Model, rules: Ruleset) -> Judgement:
        """Decides all rows; raises LateError past the batch's deadline and ModelFailedError."""
        started_s = self._clock.monotonic_s()
        scores = round_scores(model.score(batch.vectors, batch.deadline_s - started_s))
        model_s = self._clock.monotonic_s() - started_s
        times_ms, marks = np.array(batch.times_ms, dtype=np.int64), batch.applied.marks
        fired, snoozed = silence_snoozed(
            rules.evaluate(batch.transactions, batch.quantities, scores, times_ms), rules.ids, batch.applied.snoozes
        )
        decided = decide_severities(decide_by_model(scores, model.manifest.thresholds), fired, rules.severities, marks)
        let_through = choose_control_rows(self._control, batch, decided, fired, rules.severities)
        decided[let_through] = FLAG
        judgement = Judgement(
            model,
            rules,
            scores,
            [DECISIONS[severity] for severity in decided.tolist()],
            fired,
            frozenset(let_through.tolist()),
            model_s,
            self._incomplete(batch, model),
            snoozed,
        )
        self._add_plain_reasons(judgement, batch)
        self._explain(judgement, batch, np.flatnonzero(decided != ALLOW))
        return judgement

    def _incomplete(self, batch: Batch, model: Model) -> list[list[str]]:
        if self._state is None:
            return [[]] * len(batch.transactions)
        risk, state = needs_risk(model.manifest), self._state
        return [
            state.list_missing(time_ms, risk=risk, live=not is_history(transaction))
            for transaction, time_ms in zip(batch.transactions, batch.times_ms, strict=True)
        ]

    def _add_plain_reasons(self, judgement: Judgement, batch: Batch) -> None:
        """Lists first, then rules, the most severe and the highest priority first."""
        marks = batch.applied.marks
        for row in np.flatnonzero(
            judgement.fired.any(axis=1) | np.array([bool(found) for found in marks], bool)
        ).tolist():
            ranked = sorted(judgement.list_rules(row), key=judgement.rules.rank)
            judgement.reasons[row] = [mark_reason(mark) for mark in marks[row]] + [
                explain_rule(rule, batch.quantities[row], self._currency) for rule in ranked[:REASONS_MAX]
            ]

    def _explain(self, judgement: Judgement, batch: Batch, explained: NDArray[np.intp]) -> None:
        """Adds what in the model raised the score of the rows `explained`."""
        for start in range(0, len(explained), EXPLAINED_ROWS):
            rows = explained[start : start + EXPLAINED_ROWS]
            weights = self._weights(rows, judgement, batch)
            for position, row in enumerate(rows.tolist()):
                found = judgement.reasons.setdefault(row, [])
                if weights is not None:
                    found += group_reasons(
                        weights[position],
                        batch.transactions[row],
                        batch.quantities[row],
                        judgement.model.ordinary,
                        self._currency,
                    )
                if not found:
                    found.append(score_reason(float(judgement.scores[row])))
                del found[2 * REASONS_MAX :]

    def _weights(self, rows: NDArray[np.intp], judgement: Judgement, batch: Batch) -> NDArray[np.float64] | None:
        """Group weights of some rows, or None where time or model fail: the decision stands without them."""
        model = judgement.model

        def score(variants: NDArray[np.float32]) -> NDArray[np.float64]:
            return round_scores(model.score(variants, batch.deadline_s - self._clock.monotonic_s()))

        try:
            return group_weights(batch.vectors[rows], judgement.scores[rows], model.ordinary, score)
        except (LateError, ModelFailedError):
            return None
