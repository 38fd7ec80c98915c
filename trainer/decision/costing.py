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
from trainer.decision.thresholds import compute_costs
from trainer.examples.examples import Examples
from trainer.model.run_onnx import compute_served_scores

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


def decide(score: NDArray[np.floating], thresholds: Thresholds) -> NDArray[np.int64]:
    """0 allow, 1 flag, 2 hold, 3 block for each score, shape (n,), rounded and compared as serving does."""
    steps = np.array([thresholds.flag, thresholds.hold, thresholds.block])
    return np.searchsorted(steps, score.astype(np.float64).round(SCORE_DIGITS), side="right").astype(np.int64)


def compute_decision_costs(
    decided: NDArray[np.int64], fraud: NDArray[np.bool_], amount: NDArray[np.float64], costs: CostSettings
) -> NDArray[np.float64]:
    """Cost of each decision, shape (n,), given what each transaction turned out to be."""
    return np.stack(compute_costs(fraud, amount, costs))[decided, np.arange(len(decided))]


def compute_expected(
    score: NDArray[np.floating],
    fraud: NDArray[np.bool_],
    amount: NDArray[np.float64],
    thresholds: Thresholds,
    costs: CostSettings,
) -> Expected:
    """Means over n >= 1 transactions.

    `score`, `fraud` and `amount` (base currency, major units) have the shape (n,).
    """
    decided = decide(score, thresholds)
    shares = np.bincount(decided, minlength=4) / len(decided)
    return Expected(
        float(compute_decision_costs(decided, fraud, amount, costs).mean()), *(float(share) for share in shares[1:])
    )


def estimate_traffic_per_day(*slices: Examples) -> float:
    """Transactions a day over slices that follow one another, each with a genuine transaction; above 0.

    Genuine ones are counted over the time that they span, and frauds added by their share: frauds are known days before it
    is known that others were genuine, so over the time that both span there seems to be less of everything.
    """
    genuine = [part.event_time_ms[~part.fraud] for part in slices]
    span_ms = max(int(genuine[-1][-1]) - int(genuine[0][0]), SPAN_MIN_MS)
    counted = sum(len(times) for times in genuine)
    return counted * DAY_MS / span_ms * sum(len(part) for part in slices) / counted


def measure_costs(
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
    found = {"": compute_expected(score, test.fraud, test.amount, thresholds, costs)}
    found["_nothing"] = compute_expected(score, test.fraud, test.amount, ALLOW_ALL, costs)
    if serving is not None:
        before = compute_served_scores(serving.onnx, test.features)
        found["_serving"] = compute_expected(before, test.fraud, test.amount, serving.manifest.thresholds, costs)
    values = {"transactions_per_day": transactions_per_day}
    for suffix, one in found.items():
        values[f"cost_per_day{suffix}"] = one.cost * transactions_per_day
        values[f"reviews_per_day{suffix}"] = one.flagged * transactions_per_day
        values[f"step_ups_per_day{suffix}"] = one.held * transactions_per_day
        values[f"refused_per_day{suffix}"] = one.blocked * transactions_per_day
    return values
