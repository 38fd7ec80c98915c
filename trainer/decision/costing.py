"""What a model's decisions are expected to cost, per day. Pure.

Measured on a slice that the model did not learn from, by the cost table of trainer.decision.thresholds, on the score alone: rules and
lists may decide otherwise. Costs per transaction of the slice times transactions a day; a day is the mean day.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.models import SCORE_DIGITS, Thresholds
from contract.package import THRESHOLD_NEVER, Package
from contract.settings import CostSettings
from contract.windows import DAY_MS
from trainer.decision.thresholds import costs_of
from trainer.examples.examples import Examples
from trainer.model.run_onnx import served

SPAN_MIN_MS = 3_600_000
"""Less than an hour of transactions says nothing about a day; it is then taken for an hour."""
ALLOW_ALL = Thresholds(flag=THRESHOLD_NEVER, hold=THRESHOLD_NEVER, block=THRESHOLD_NEVER)


class Expected(NamedTuple):
    """Per transaction, so that it can be multiplied by any traffic."""

    cost: float
    """Base currency, major units."""
    flagged: float
    held: float
    blocked: float
    """Shares of transactions in [0, 1]."""


def decisions(score: NDArray[np.floating], thresholds: Thresholds) -> NDArray[np.int64]:
    """0 allow, 1 flag, 2 hold, 3 block for each score, shape (n,), rounded and compared as serving does."""
    steps = np.array([thresholds.flag, thresholds.hold, thresholds.block])
    return np.searchsorted(steps, score.astype(np.float64).round(SCORE_DIGITS), side="right").astype(np.int64)


def cost_each(
    decided: NDArray[np.int64], fraud: NDArray[np.bool_], amount: NDArray[np.float64], costs: CostSettings
) -> NDArray[np.float64]:
    """Cost of each decision, shape (n,), given what each transaction turned out to be."""
    return np.stack(costs_of(fraud, amount, costs))[decided, np.arange(len(decided))]


def expected(
    score: NDArray[np.floating],
    fraud: NDArray[np.bool_],
    amount: NDArray[np.float64],
    thresholds: Thresholds,
    costs: CostSettings,
) -> Expected:
    """Means over n >= 1 transactions.

    `score`, `fraud` and `amount` (base currency, major units) have the shape (n,).
    """
    decided = decisions(score, thresholds)
    shares = np.bincount(decided, minlength=4) / len(decided)
    return Expected(float(cost_each(decided, fraud, amount, costs).mean()), *(float(share) for share in shares[1:]))


def traffic_per_day(*slices: Examples) -> float:
    """Transactions a day over slices that follow one another, each with a genuine transaction; above 0.

    Genuine ones are counted over the time that they span, and frauds added by their share: frauds are known days before it
    is known that others were genuine, so over the time that both span there seems to be less of everything.
    """
    genuine = [part.event_time_ms[~part.fraud] for part in slices]
    span_ms = max(int(genuine[-1][-1]) - int(genuine[0][0]), SPAN_MIN_MS)
    counted = sum(len(times) for times in genuine)
    return counted * DAY_MS / span_ms * sum(len(part) for part in slices) / counted


def measures(
    score: NDArray[np.floating],
    test: Examples,
    thresholds: Thresholds,
    costs: CostSettings,
    *,
    transactions_per_day: float,
    serving: Package | None,
) -> dict[str, float]:
    """For a manifest's metrics: `cost_per_day` and what it consists of; `_serving` the model in service, `_nothing` allow all.

    `score`: (n,), within [0, 1], one for each row of `test`.
    """
    found = {"": expected(score, test.fraud, test.amount, thresholds, costs)}
    found["_nothing"] = expected(score, test.fraud, test.amount, ALLOW_ALL, costs)
    if serving is not None:
        before = served(serving.onnx, test.features)
        found["_serving"] = expected(before, test.fraud, test.amount, serving.manifest.thresholds, costs)
    values = {"transactions_per_day": transactions_per_day}
    for suffix, one in found.items():
        values[f"cost_per_day{suffix}"] = one.cost * transactions_per_day
        values[f"reviews_per_day{suffix}"] = one.flagged * transactions_per_day
        values[f"step_ups_per_day{suffix}"] = one.held * transactions_per_day
        values[f"refused_per_day{suffix}"] = one.blocked * transactions_per_day
    return values
