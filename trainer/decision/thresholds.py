"""Thresholds from costs: the three scores from which a transaction is flagged, held and blocked. Pure.

What a decision costs for a transaction of amount v (base currency, major units), with the fields of CostSettings:

| decision | fraud | genuine |
| --- | --- | --- |
| allow | L | 0 |
| flag | review_cost + (1 - review_saves_share) L | review_cost |
| hold | step_up_cost + (1 - step_up_stops_share) L | step_up_cost + step_up_abandon_share * lost_sale_share * v |
| block | 0 | lost_sale_share * v |

where L = fraud_loss_share * v + fraud_fee. The thresholds are the exact minimum of the summed cost over the validation
slice, under flag <= hold <= block, under the bounds below, and under what people can do in a day (Limits). Scores and thresholds have SCORE_DIGITS digits, as serving rounds
them, so what is printed is what decides.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.models import SCORE_DIGITS, Thresholds
from contract.package import THRESHOLD_NEVER
from contract.sections.models import CapacitySettings
from contract.settings import CostSettings

FLAG_SHARE_MAX = 0.08
"""At most this share of transactions is flagged, held or blocked, or twice the share of frauds where that is more."""
HOLD_SHARE_MAX = 0.03
"""At most this share is held or blocked, or the share of frauds where that is more."""
BLOCK_PRECISION_MIN = 0.5
"""Of what is blocked, at least this share is fraud on the validation slice: a refused customer may not come back."""

_STEPS = 10.0**SCORE_DIGITS
_ROUNDING = 1e-9
"""Added before rounding down: 0.29 * 100 is 28.999999999999996."""


class Costs(NamedTuple):
    """Cost of each decision for each of n transactions, shape (n,) each."""

    allow: NDArray[np.float64]
    flag: NDArray[np.float64]
    hold: NDArray[np.float64]
    block: NDArray[np.float64]


class Limits(NamedTuple):
    """How much there are people and patience for, as shares of all transactions; 1: as much as is worth it."""

    flagged: float = 1.0
    """At most this share is flagged: an analyst looks at each."""
    held: float = 1.0
    """At most this share is held: a customer is asked for verification."""


NO_LIMITS = Limits()


def derive_limits(capacity: CapacitySettings, transactions_per_day: float) -> Limits:
    """The retailer's capacity a day as shares of its traffic; the traffic is above 0."""
    wanted = (capacity.reviews_per_day, capacity.step_ups_per_day)
    return Limits(*(1.0 if most is None else min(1.0, most / transactions_per_day) for most in wanted))


def compute_costs(fraud: NDArray[np.bool_], amount: NDArray[np.float64], settings: CostSettings) -> Costs:
    """The table above, for known labels; `amount` in base currency, major units.

    `fraud`, `amount` and each cost have the shape (n,).
    """
    loss = np.where(fraud, settings.fraud_loss_share * amount + settings.fraud_fee, 0.0)
    sale = np.where(fraud, 0.0, settings.lost_sale_share * amount)
    return Costs(
        allow=loss,
        flag=settings.review_cost + (1 - settings.review_saves_share) * loss,
        hold=settings.step_up_cost + (1 - settings.step_up_stops_share) * loss + settings.step_up_abandon_share * sale,
        block=sale,
    )


def choose(
    score: NDArray[np.floating],
    fraud: NDArray[np.bool_],
    amount: NDArray[np.float64],
    settings: CostSettings,
    limits: Limits = NO_LIMITS,
) -> Thresholds:
    """The cheapest thresholds on n >= 1 scored transactions.

    In ascending order of score the four decisions are four consecutive runs, so the cost is a sum of three functions of
    one cut each, f(i) + g(j) + h(k) with i <= j <= k; a limit on what is flagged is j - i <= a number of rows, one on what
    is held k - j <= another. So minima over a window that slides find the exact optimum, in O(n log n).

    `score` (within [0, 1]), `fraud` and `amount` (base currency, major units) have the shape (n,).
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order].astype(np.float64).round(SCORE_DIGITS)
    costs = compute_costs(fraud[order], amount[order], settings)
    n, rate = len(ranked), float(fraud.mean())
    between = np.concatenate(([True], np.diff(ranked) > 0, [True]))  # equal scores get equal decisions
    after = np.arange(n, -1, -1)
    caught = np.concatenate((np.cumsum(fraud[order][::-1])[::-1], [0]))
    allowed_flag = between & (after <= n * max(FLAG_SHARE_MAX, 2 * rate))
    allowed_hold = between & (after <= n * max(HOLD_SHARE_MAX, rate))
    allowed_block = between & (caught >= BLOCK_PRECISION_MIN * after)
    flag_from, hold_from, block_from = _cheapest_cuts(
        np.where(allowed_flag, _below(costs.allow - costs.flag), np.inf),
        np.where(allowed_hold, _below(costs.flag - costs.hold), np.inf),
        np.where(allowed_block, _below(costs.hold - costs.block), np.inf),
        math.floor(n * limits.flagged + _ROUNDING),
        math.floor(n * limits.held + _ROUNDING),
    )
    return Thresholds(
        flag=_score_at(ranked, flag_from), hold=_score_at(ranked, hold_from), block=_score_at(ranked, block_from)
    )


def _below(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (n + 1,): at cut i, the summed difference of everything ranked below i."""
    return np.concatenate(([0.0], np.cumsum(difference)))


def _cheapest_cuts(
    first: NDArray[np.float64], second: NDArray[np.float64], third: NDArray[np.float64], flagged: int, held: int
) -> tuple[int, int, int]:
    """(i, j, k) that minimise first[i] + second[j] + third[k] with i <= j <= i + flagged and j <= k <= j + held.

    Of equals the highest cuts.
    """
    best_first, at_first = _trailing_minimum(first, flagged)
    best_second, at_second = _trailing_minimum(second + best_first, held)
    total = third + best_second
    k = len(total) - 1 - int(np.argmin(total[::-1]))
    j = int(at_second[k])
    return int(at_first[j]), j, k


def _trailing_minimum(values: NDArray[np.float64], reach: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The minimum of values[i - reach : i + 1] and the last place where it stands, for each i.

    The places are compared by rank, so that equals have an order. The minimum over a window of w is the minimum of the end
    of one block of w and the beginning of the next (M. van Herk, 1992).
    """
    n = len(values)
    order = np.lexsort((-np.arange(n), values))
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    width = min(reach, n) + 1
    blocks = -(-(n + width - 1) // width)
    padded = np.full(blocks * width, n, dtype=np.int64)
    padded[width - 1 : width - 1 + n] = rank
    table = padded.reshape(blocks, width)
    from_left = np.minimum.accumulate(table, axis=1).ravel()
    to_right = np.minimum.accumulate(table[:, ::-1], axis=1)[:, ::-1].ravel()
    places = order[np.minimum(to_right[:n], from_left[width - 1 : width - 1 + n])]
    return values[places], places


def _score_at(ranked: NDArray[np.float64], cut: int) -> float:
    """To as many digits as scores have, upwards: halfway between neighbours in the last digit lies the upper one."""
    if cut == len(ranked):
        return THRESHOLD_NEVER
    between = ranked[cut] if cut == 0 else (ranked[cut - 1] + ranked[cut]) / 2
    steps = round(float(between) * _STEPS, 3)
    return math.ceil(steps) / _STEPS
