"""Champion against challenger on the same labelled transactions, with intervals that say whether a difference means something.

Pure. The intervals are those of the gate's paired bootstrap (contract.statistics.ranking): both models are measured on the same draw, and
the middle 95% of the differences is the interval (percentile method). Transactions count as independent of each other; where some few customers make many of
them, the true interval is wider.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.models import Thresholds
from contract.settings import CostSettings
from contract.statistics.ranking import Ranking, draw_counts
from trainer.decision.costing import compute_decision_costs, decide

FRAUDS_MIN = 20
"""Fewer labelled frauds than this, or genuine transactions, and chance speaks louder than any model."""
DRAWS = 1_000
WORK_MAX = 300_000_000
"""Draws times transactions; beyond it there are fewer draws, never below DRAWS_MIN."""
DRAWS_MIN = 200
INTERVAL = (2.5, 97.5)
PER = 1_000
"""Cost is given per this many transactions."""
LOWER_IS_BETTER = "cost"


@dataclass(frozen=True, slots=True)
class Pairs:
    """n transactions that both models scored and whose truth is known."""

    champion: NDArray[np.float64]
    """Shape (n,), scores in [0, 1], higher is more suspicious."""
    challenger: NDArray[np.float64]
    """Shape (n,), likewise."""
    fraud: NDArray[np.bool_]
    """Shape (n,)."""
    amount: NDArray[np.float64]
    """Shape (n,), base currency, major units; NaN where it is not known: such rows are left out of costs."""

    def __len__(self) -> int:
        return len(self.fraud)


class Measure(NamedTuple):
    """One measure of both models; None where it cannot be measured."""

    name: str
    champion: float | None
    challenger: float | None
    difference: float | None
    """Challenger minus champion."""
    low: float | None
    high: float | None
    """The interval of the difference."""

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the whole interval lies on one side of 0, else `open`."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "open"
        return "better" if (self.low > 0) != (self.name == LOWER_IS_BETTER) else "worse"


class Comparison(NamedTuple):
    """What the labels say."""

    measures: list[Measure]
    """In the order of a report; empty where there is not one fraud and one genuine transaction."""
    frauds: int
    genuine: int
    draws: int

    @property
    def enough(self) -> bool:
        """Whether there are labels enough for the intervals to mean something."""
        return min(self.frauds, self.genuine) >= FRAUDS_MIN


class _Side(NamedTuple):
    ranking: Ranking
    reached: Mapping[str, NDArray[np.float64]]
    cost: NDArray[np.float64]


def compare(
    pairs: Pairs, champion: Thresholds, challenger: Thresholds, costs: CostSettings, seed: int = 7
) -> Comparison:
    """Measures both models, each at its own thresholds; the same input and seed give the same numbers."""
    frauds = int(pairs.fraud.sum())
    genuine = len(pairs) - frauds
    if not frauds or not genuine:
        return Comparison([], frauds, genuine, 0)
    sides = [
        _side(pairs, pairs.champion, champion, costs),
        _side(pairs, pairs.challenger, challenger, costs),
    ]
    fraud, priced = pairs.fraud.astype(np.float64), np.isfinite(pairs.amount).astype(np.float64)
    whole = [_measured(side, np.ones(len(pairs)), fraud, priced) for side in sides]
    draws = int(np.clip(WORK_MAX // len(pairs), DRAWS_MIN, DRAWS))
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in whole[0]}
    for _ in range(draws):
        weight = draw_counts(pairs.fraud, random, 1)[0]
        one, other = (_measured(side, weight, fraud, priced) for side in sides)
        for name, values in drawn.items():
            values.append(other[name] - one[name])
    measures = [_measure(name, whole[0][name], whole[1][name], np.array(values)) for name, values in drawn.items()]
    return Comparison(measures, frauds, genuine, draws)


def _side(pairs: Pairs, score: NDArray[np.float64], thresholds: Thresholds, costs: CostSettings) -> _Side:
    decided = decide(score, thresholds)
    cost = compute_decision_costs(decided, pairs.fraud, np.nan_to_num(pairs.amount), costs)
    reached = {name: (decided >= at).astype(np.float64) for at, name in enumerate(("flag", "hold", "block"), 1)}
    return _Side(Ranking(score, pairs.fraud), reached, cost)


def _measured(
    side: _Side, weight: NDArray[np.float64], fraud: NDArray[np.float64], priced: NDArray[np.float64]
) -> dict[str, float]:
    """Every measure under `weight`, how often each transaction was drawn; NaN where it cannot be measured."""
    caught = weight * fraud
    found = {"auc": side.ranking.auc(weight), "average_precision": side.ranking.average_precision(weight)}
    for name, reached in side.reached.items():
        hits = float(caught @ reached)
        found[f"precision_{name}"] = _ratio(hits, float(weight @ reached))
        found[f"recall_{name}"] = _ratio(hits, float(caught.sum()))
    found[LOWER_IS_BETTER] = PER * _ratio(float((weight * priced) @ side.cost), float(weight @ priced))
    return found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _measure(name: str, champion: float, challenger: float, differences: NDArray[np.float64]) -> Measure:
    values = (_known(champion), _known(challenger), _known(challenger - champion))
    kept = differences[np.isfinite(differences)]
    if len(kept) < len(differences) / 2:  # nothing reaches the threshold in most draws
        return Measure(name, *values, None, None)
    low, high = np.percentile(kept, INTERVAL)
    return Measure(name, *values, float(low), float(high))
