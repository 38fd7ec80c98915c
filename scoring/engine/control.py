"""The control group: a share of what the model would hold or block goes through as `flag`, so that its true label is seen.

Blocked transactions never show whether they were fraud; without some that go through, a model learns from its own opinion. Pure:
who is in it follows from the transaction and the settings alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.events import Transaction
from contract.features import get_feature_names
from contract.settings import ScoringSettings
from contract.verdicts import Reason
from scoring.decision.decide import HOLD
from scoring.decision.shares import CONTROL, in_share
from scoring.engine.answers import is_history
from scoring.ports import ListHit

AMOUNT = get_feature_names().index("amount")
CONTROL_CODE = "policy:control"
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

    @classmethod
    def of(cls, settings: ScoringSettings) -> "Control":
        """As the settings say."""
        return cls(settings.control_share, settings.control_amount_max)


def control_rows(  # noqa: PLR0917 - columns of one table
    control: Control,
    decided: NDArray[np.int8],
    fired: NDArray[np.bool_],
    rule_severities: NDArray[np.int8],
    transactions: Sequence[Transaction],
    marks: Sequence[tuple[ListHit, ...]],
    quantities: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Rows to let through: those that the model alone holds or blocks, live, small enough and in the share.

    `decided` has shape (n,), `fired` (n, rules), `quantities` (n, F). What a rule or a person (a `deny` mark) stopped stays.
    """
    if not control.share:
        return np.empty(0, dtype=np.intp)
    by_rules = (fired & (rule_severities >= HOLD)).any(axis=1)
    candidates = np.flatnonzero((decided >= HOLD) & ~by_rules & (quantities[:, AMOUNT] <= control.amount_max))
    return np.array(
        [row for row in candidates.tolist() if _may_pass(control.share, transactions[row], marks[row])], dtype=np.intp
    )


def _may_pass(share: float, transaction: Transaction, marks: Sequence[ListHit]) -> bool:
    return (
        not is_history(transaction)
        and all(mark.mark != "deny" for mark in marks)
        and in_share(transaction.transaction_id, CONTROL, share)
    )
