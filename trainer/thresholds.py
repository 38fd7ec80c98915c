"""Thresholds from costs: the three scores from which a transaction is flagged, held and blocked. Pure.

What a decision costs for a transaction of amount v (base currency, major units), with the fields of CostSettings:

| decision | fraud | genuine |
| --- | --- | --- |
| allow | L | 0 |
| flag | review_cost + (1 - review_saves_share) L | review_cost |
| hold | step_up_cost + (1 - step_up_stops_share) L | step_up_cost + step_up_abandon_share * lost_sale_share * v |
| block | 0 | lost_sale_share * v |

where L = fraud_loss_share * v + fraud_fee. The thresholds are the exact minimum of the summed cost over the validation
slice, under flag <= hold <= block and under the bounds below. Scores and thresholds have SCORE_DIGITS digits, as serving rounds
them, so what is printed is what decides.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.models import SCORE_DIGITS, Thresholds
from contract.package import THRESHOLD_NEVER
from contract.settings import CostSettings

FLAG_SHARE_MAX = 0.08
"""At most this share of transactions is flagged, held or blocked, or twice the share of frauds where that is more."""
HOLD_SHARE_MAX = 0.03
"""At most this share is held or blocked, or the share of frauds where that is more."""
BLOCK_PRECISION_MIN = 0.5
"""Of what is blocked, at least this share is fraud on the validation slice: a refused customer may not come back."""

_STEPS = 10.0**SCORE_DIGITS


class Costs(NamedTuple):
    """Cost of each decision for each of n transactions, shape (n,) each."""

    allow: NDArray[np.float64]
    flag: NDArray[np.float64]
    hold: NDArray[np.float64]
    block: NDArray[np.float64]


def costs_of(fraud: NDArray[np.bool_], amount: NDArray[np.float64], settings: CostSettings) -> Costs:
    """The table above, for known labels; `amount` in base currency, major units."""
    loss = np.where(fraud, settings.fraud_loss_share * amount + settings.fraud_fee, 0.0)
    sale = np.where(fraud, 0.0, settings.lost_sale_share * amount)
    return Costs(
        allow=loss,
        flag=settings.review_cost + (1 - settings.review_saves_share) * loss,
        hold=settings.step_up_cost + (1 - settings.step_up_stops_share) * loss + settings.step_up_abandon_share * sale,
        block=sale,
    )


def choose(
    score: NDArray[np.floating], fraud: NDArray[np.bool_], amount: NDArray[np.float64], settings: CostSettings
) -> Thresholds:
    """The cheapest thresholds on n >= 1 scored transactions.

    In ascending order of score the four decisions are four consecutive runs, so the cost is a sum of three functions of
    one cut each, f(i) + g(j) + h(k) with i <= j <= k: running minima find the exact optimum in O(n log n).
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order].astype(np.float64).round(SCORE_DIGITS)
    costs = costs_of(fraud[order], amount[order], settings)
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
    )
    return Thresholds(
        flag=_score_at(ranked, flag_from), hold=_score_at(ranked, hold_from), block=_score_at(ranked, block_from)
    )


def _below(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (n + 1,): at cut i, the summed difference of everything ranked below i."""
    return np.concatenate(([0.0], np.cumsum(difference)))


def _cheapest_cuts(
    first: NDArray[np.float64], second: NDArray[np.float64], third: NDArray[np.float64]
) -> tuple[int, int, int]:
    """(i, j, k) that minimise first[i] + second[j] + third[k] with i <= j <= k; of equals the highest cuts."""
    best_first, at_first = _running_minimum(first)
    best_second, at_second = _running_minimum(second + best_first)
    total = third + best_second
    k = len(total) - 1 - int(np.argmin(total[::-1]))
    j = int(at_second[k])
    return int(at_first[j]), j, k


def _running_minimum(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The minimum of values[:i + 1] and the last place where it stands, for each i."""
    minimum = np.minimum.accumulate(values)
    places = np.where(values == minimum, np.arange(len(values)), 0)
    return minimum, np.maximum.accumulate(places)


def _score_at(ranked: NDArray[np.float64], cut: int) -> float:
    """To as many digits as scores have, upwards: halfway between neighbours in the last digit lies the upper one."""
    if cut == len(ranked):
        return THRESHOLD_NEVER
    between = ranked[cut] if cut == 0 else (ranked[cut - 1] + ranked[cut]) / 2
    steps = round(float(between) * _STEPS, 3)
    return math.ceil(steps) / _STEPS
