"""Whether a new model may take the place of the one that serves. Pure.

Both score the same newest transactions, of which trusted sources say what they were. A better average precision on some few
frauds may be luck, so both are measured again on many samples drawn from these transactions with repetition (a paired bootstrap,
Efron 1979, frauds and genuine ones apart): the new model serves where it is better in nearly all of them, and is not costlier
in nearly all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.ranking import GAIN_MIN, Ranking, times_drawn
from trainer.evaluate import average_precision

FRAUDS_MIN = 5
"""Fewer than this among what the serving model never saw, and all of the slice is compared on."""
LOSS_MAX = 0.02
"""Average precision that may be lost: below it, the difference is the luck of some few frauds."""
SAMPLES = 1_000
"""Bootstrap samples: a probability of 0.9 is then known to within 0.02."""
GENUINE_MAX = 50_000
"""Genuine transactions compared on at most, evenly over time, so that the time the gate takes is bounded."""


def unseen(
    event_time_ms: NDArray[np.int64], fraud: NDArray[np.bool_], trained_until_ms: int, frauds_min: int = FRAUDS_MIN
) -> NDArray[np.bool_]:
    """Which rows of the test slice to compare on: those newer than the serving model's data, where these hold `frauds_min` frauds.

    Otherwise all of them, which favours the serving model: it learned from some.
    """
    newer = event_time_ms > trained_until_ms
    enough = int(fraud[newer].sum()) >= frauds_min and not bool(fraud[newer].all())
    return newer if enough else np.ones(len(fraud), dtype=np.bool_)


def objection(challenger: NDArray[np.floating], champion: NDArray[np.floating], fraud: NDArray[np.bool_]) -> str | None:
    """Why the challenger must not serve, in a sentence; None where it may. Scores of shape (n,), at least one fraud."""
    new, old = average_precision(challenger, fraud), average_precision(champion, fraud)
    if new >= old - LOSS_MAX:
        return None
    return f"average precision {new:.3f} on the newest {len(fraud):,} transactions, where the model that serves reaches {old:.3f}"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models on the n transactions compared on."""

    score: NDArray[np.floating]
    """Shape (n,), as served."""
    cost: NDArray[np.float64]
    """Of its own decisions, shape (n,), base currency, major units."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the gate found, in numbers."""

    transactions: int
    frauds: int
    new: float
    """Average precision of the challenger."""
    old: float
    """Of the model that serves."""
    surely_better: float
    """Share of samples in which the challenger's is higher by GAIN_MIN at least."""
    surely_worse: float
    """In which that of the model that serves is."""
    new_cost: float
    """Mean cost of its decisions per transaction, where frauds are their true share."""
    old_cost: float
    surely_costlier: float
    """Share of samples in which the challenger costs more."""

    def values(self) -> dict[str, float]:
        """For an alarm or a report."""
        return {
            "transactions": float(self.transactions),
            "frauds": float(self.frauds),
            "average_precision": self.new,
            "average_precision_serving": self.old,
            "surely_better": self.surely_better,
            "surely_worse": self.surely_worse,
            "cost": self.new_cost,
            "cost_serving": self.old_cost,
            "surely_costlier": self.surely_costlier,
        }


def compare(
    new: Side, old: Side, fraud: NDArray[np.bool_], *, fraud_share: float, seed: int, samples: int = SAMPLES
) -> Comparison:
    """Both on the same transactions, of both kinds.

    `fraud_share`: of all transactions. The slice may hold more frauds, since frauds are known earlier; they are
    weighted so that they make up this share.
    """
    random = np.random.default_rng(seed)
    frauds, genuine = np.flatnonzero(fraud), np.flatnonzero(~fraud)
    step = -(-len(genuine) // GENUINE_MAX)
    rows = np.sort(np.concatenate((frauds, genuine[::step])))
    kept = fraud[rows]
    weight = np.where(kept, fraud_share / kept.sum(), (1 - fraud_share) / (~kept).sum())
    rankings = [Ranking(side.score[rows], kept) for side in (new, old)]
    costs = [side.cost[rows] for side in (new, old)]
    better = worse = costlier = 0
    for _ in range(samples):
        drawn = weight * times_drawn(kept, random, 1)[0]
        first, second = (ranking.average_precision(drawn) for ranking in rankings)
        better += first > second + GAIN_MIN
        worse += second > first + GAIN_MIN
        difference = float(drawn @ (costs[0] - costs[1]))
        costlier += difference > 0
    return Comparison(
        transactions=len(rows),
        frauds=len(frauds),
        new=rankings[0].average_precision(weight),
        old=rankings[1].average_precision(weight),
        surely_better=better / samples,
        surely_worse=worse / samples,
        new_cost=float(weight @ costs[0]),
        old_cost=float(weight @ costs[1]),
        surely_costlier=costlier / samples,
    )


def refusal(found: Comparison, *, confidence: float, frauds_min: int) -> str | None:
    """Why the challenger must not serve, in a sentence with its numbers; None where it may."""
    return too_few(found, frauds_min) or _not_better(found, confidence) or costlier(found, confidence)


def too_few(found: Comparison, frauds_min: int) -> str | None:
    """That nothing can be said by so few frauds; None where they are enough."""
    if found.frauds >= frauds_min:
        return None
    return f"{_where(found)}, nothing can be said: {frauds_min} frauds are needed (trainer.gate_frauds_min)"


def costlier(found: Comparison, confidence: float) -> str | None:
    """That the challenger surely costs more; None where that is not sure."""
    if found.surely_costlier <= confidence:
        return None
    return (
        f"its decisions cost {found.new_cost:.4f} a transaction against {found.old_cost:.4f} of the model that serves, "
        f"{_where(found)}: more in {found.surely_costlier:.0%} of resamplings"
    )


def _not_better(found: Comparison, confidence: float) -> str | None:
    if found.surely_better >= confidence:
        return None
    return (
        f"average precision {found.new:.3f} against {found.old:.3f} of the model that serves, {_where(found)}: better in "
        f"{found.surely_better:.0%} of resamplings, {confidence:.0%} are needed (trainer.gate_confidence)"
    )


def _where(found: Comparison) -> str:
    return f"on the newest {found.transactions:,} trusted transactions, {found.frauds:,} of them frauds"
