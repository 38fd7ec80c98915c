"""From feature values to decisions and reasons, for rows that share a model and rules. No store, no messages.

The model runs under a time limit; without its scores there is no judgement (the caller answers degraded), without its
explanations there are still scores, rules and lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.clock import Clock
from contract.events import Transaction
from contract.verdicts import Reason
from scoring.decision.decide import ALLOW, FLAG, model_severities, rounded, severities
from scoring.decision.explain import REASONS_MAX, group_reasons, group_weights, mark_reason, rule_reason, score_reason
from scoring.engine.control import Control, control_rows
from scoring.models.onnx_model import ModelFailedError, OnnxModel
from scoring.models.time_limit import LateError, TimeLimit
from scoring.ports import ListHit
from scoring.rules.ruleset import Ruleset

EXPLAINED_ROWS = 64
"""Rows explained by one call; the time limit is looked at between calls."""


@dataclass(slots=True)
class Rows:
    """m rows that are judged together; all members run in step."""

    transactions: Sequence[Transaction]
    times_ms: NDArray[np.int64]
    quantities: NDArray[np.float64]
    """Shape (m, F)."""
    vectors: NDArray[np.float32]
    """Shape (m, F)."""
    marks: Sequence[tuple[ListHit, ...]]


@dataclass(slots=True)
class Judged:
    """What became of m rows."""

    scores: NDArray[np.float64]
    """Shape (m,), rounded."""
    severities: NDArray[np.int8]
    """Shape (m,): places in DECISIONS."""
    fired: NDArray[np.bool_]
    """Shape (m, rules)."""
    reasons: dict[int, list[Reason]]
    """By row; rows without an entry have none."""
    model_s: float
    """Seconds of the model's first call."""
    control: frozenset[int] = frozenset()
    """Rows of the control group: flagged instead of a hold or block."""


class Judge:
    """Used by one thread."""

    def __init__(self, clock: Clock, currency: str, control: Control) -> None:
        self._clock = clock
        self._currency = currency
        self._control = control
        self._limited = TimeLimit()

    def judge(self, rows: Rows, model: OnnxModel, rules: Ruleset, deadline_s: float) -> Judged:
        """Decides all rows; raises LateError past `deadline_s` (monotonic) and ModelFailedError."""
        started_s = self._clock.monotonic_s()
        scores = self._limited(lambda options: rounded(model.score(rows.vectors, options)), deadline_s - started_s)
        model_s = self._clock.monotonic_s() - started_s
        fired = rules.fired(rows.transactions, rows.quantities, scores, rows.times_ms)
        decided = severities(model_severities(scores, model.manifest.thresholds), fired, rules.severities, rows.marks)
        let_through = control_rows(
            self._control, decided, fired, rules.severities, rows.transactions, rows.marks, rows.quantities
        )
        decided[let_through] = FLAG
        judged = Judged(scores, decided, fired, {}, model_s, frozenset(let_through.tolist()))
        self._add_reasons(judged, rows, model, rules, deadline_s)
        return judged

    def _add_reasons(self, judged: Judged, rows: Rows, model: OnnxModel, rules: Ruleset, deadline_s: float) -> None:
        for row in np.flatnonzero(
            judged.fired.any(axis=1) | np.array([bool(found) for found in rows.marks], dtype=bool)
        ):
            judged.reasons[int(row)] = self._plain_reasons(int(row), judged, rows, rules)
        explained = np.flatnonzero(judged.severities != ALLOW)
        for start in range(0, len(explained), EXPLAINED_ROWS):
            part = explained[start : start + EXPLAINED_ROWS]
            weights = self._weights(part, judged, rows, model, deadline_s)
            for place, row in enumerate(part.tolist()):
                found = judged.reasons.setdefault(row, [])
                if weights is not None:
                    quantities = rows.quantities[row]
                    found += group_reasons(
                        weights[place], rows.transactions[row], quantities, model.ordinary, self._currency
                    )
                if not found:
                    found.append(score_reason(float(judged.scores[row])))
                del found[2 * REASONS_MAX :]

    def _plain_reasons(self, row: int, judged: Judged, rows: Rows, rules: Ruleset) -> list[Reason]:
        """Lists first, then rules, the most severe and the highest priority first."""
        hits = [rules.rules[place] for place in np.flatnonzero(judged.fired[row])]
        ranked = sorted(hits, key=rules.rank)
        return [mark_reason(mark) for mark in rows.marks[row]] + [
            rule_reason(rule, rows.quantities[row], self._currency) for rule in ranked[:REASONS_MAX]
        ]

    def _weights(
        self, part: NDArray[np.intp], judged: Judged, rows: Rows, model: OnnxModel, deadline_s: float
    ) -> NDArray[np.float64] | None:
        """Group weights of some rows, or None where time or model fail: the decision stands without them."""

        def score(variants: NDArray[np.float32]) -> NDArray[np.float64]:
            left_s = deadline_s - self._clock.monotonic_s()
            return self._limited(lambda options: rounded(model.score(variants, options)), left_s)

        try:
            return group_weights(rows.vectors[part], judged.scores[part], model.ordinary, score)
        except (LateError, ModelFailedError):
            return None
