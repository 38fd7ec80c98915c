"""From score, thresholds, fired rules and marks to a decision. Pure.

Precedence, highest first:

1. a `deny` mark: block;
2. an `allow` mark: allow, whatever model and rules say (it is how an analyst silences false alarms about one customer);
3. the most severe of the model's decision and the fired rules; where only rules that say `allow` fired: allow;
4. a `watch` mark: at least flag.

A rule that is snoozed for one of the transaction's entities does not count as fired.

The degraded answer looks at none of this: it depends on the transaction and the settings alone, so that it is the same
however often, wherever and whenever it is given.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.models import SCORE_DIGITS, Thresholds
from scoring.ports import ListHit, SnoozeHit

ALLOW, FLAG, HOLD, BLOCK = range(4)
"""Severities: indices of DECISIONS."""


def round_scores(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """The scores that are compared with thresholds and published, shape (n,)."""
    exact: NDArray[np.float64] = scores.astype(np.float64)
    return exact.round(SCORE_DIGITS)


def decide_by_model(scores: NDArray[np.float64], thresholds: Thresholds) -> NDArray[np.int8]:
    """What the model alone decides, shape (n,): a decision applies from its threshold on."""
    steps = np.array([thresholds.flag, thresholds.hold, thresholds.block])
    decided: NDArray[np.int8] = (scores[:, None] >= steps).sum(axis=1, dtype=np.int8)
    return decided


def decide_severities(
    by_model: NDArray[np.int8],
    fired: NDArray[np.bool_],
    rule_severities: NDArray[np.int8],
    marks: Sequence[tuple[ListHit, ...]],
) -> NDArray[np.int8]:
    """The decisions, shape (n,); `fired` has shape (n, rules), `marks` one tuple per event."""
    decided = by_model.copy()
    if fired.any():
        by_rules = np.where(fired, rule_severities, -1).max(axis=1)  # -1: none fired
        decided = np.where(by_rules == ALLOW, ALLOW, np.maximum(by_model, by_rules)).astype(np.int8)
    for row, found in enumerate(marks):
        if found:
            decided[row] = apply_marks(int(decided[row]), found)
    return decided


def silence_snoozed(
    fired: NDArray[np.bool_], rule_ids: Sequence[str], snoozes: Sequence[tuple[SnoozeHit, ...]]
) -> tuple[NDArray[np.bool_], dict[int, list[SnoozeHit]]]:
    """The rules that count, and by row what was snoozed of those that fired.

    Args:
        fired: which rules match which events, shape (n, rules).
        rule_ids: of the columns.
        snoozes: one tuple per event.
    """
    silenced: dict[int, list[SnoozeHit]] = {}
    if not any(snoozes):
        return fired, silenced
    counting, columns = fired.copy(), {rule: column for column, rule in enumerate(rule_ids)}
    for row, found in enumerate(snoozes):
        hits = [hit for hit in found if hit.rule in columns and fired[row, columns[hit.rule]]]
        if hits:
            silenced[row] = hits
            counting[row, [columns[hit.rule] for hit in hits]] = False
    return counting, silenced


def apply_marks(severity: int, marks: Sequence[ListHit]) -> int:
    """The decision after lists and overrides have spoken."""
    kinds = {mark.mark for mark in marks}
    if "deny" in kinds:
        return BLOCK
    if "allow" in kinds:
        return ALLOW
    return max(severity, FLAG) if "watch" in kinds else severity
