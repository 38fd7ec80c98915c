"""The control group: a share of what the model would hold or block goes through as `flag`, so that its true label is seen.

Blocked transactions never show whether they were fraud; without some that go through, a model learns from its own opinion. Pure:
who is in it follows from the transaction and the settings alone.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.features import get_feature_names
from contract.verdicts import Reason
from scoring.decision.decide import HOLD
from scoring.decision.shares import CONTROL, is_in_share
from scoring.engine.answers import CONTROL_CODE, is_history
from scoring.engine.batch import Batch

AMOUNT = get_feature_names().index("amount")
CONTROL_REASON = Reason(
    code=CONTROL_CODE,
    text="let through on purpose: one of a small random share, to learn what it turns out to be",
    weight=1.0,
)


class Control(NamedTuple):
    """How many are let through, and up to which amount."""

    share: float
    amount_max: float
    """Base currency, major units."""


def choose_control_rows(
    control: Control,
    batch: Batch,
    decided: NDArray[np.int8],
    fired: NDArray[np.bool_],
    rule_severities: NDArray[np.int8],
) -> NDArray[np.intp]:
    """Rows to let through: those that the model alone holds or blocks, live, small enough and in the share.

    `decided` has shape (n,), `fired` (n, rules). What a rule or a person (a `deny` mark) stopped stays.
    """
    if not control.share:
        return np.empty(0, dtype=np.intp)
    by_rules = (fired & (rule_severities >= HOLD)).any(axis=1)
    small = batch.quantities[:, AMOUNT] <= control.amount_max
    candidates = np.flatnonzero((decided >= HOLD) & ~by_rules & small)
    return np.array([row for row in candidates.tolist() if _may_pass(control.share, batch, row)], dtype=np.intp)


def _may_pass(share: float, batch: Batch, row: int) -> bool:
    transaction = batch.transactions[row]
    return (
        not is_history(transaction)
        and all(mark.mark != "deny" for mark in batch.applied.marks[row])
        and is_in_share(transaction.transaction_id, CONTROL, share)
    )
