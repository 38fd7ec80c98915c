"""Whether a new model may take the place of the one that serves. Pure.

Both score the same newest transactions, of which trusted sources say what they were. A better average precision on some few
frauds may be luck, so both are measured again on many samples drawn from these transactions with repetition (a paired bootstrap,
Efron 1979, frauds and genuine ones apart): the new model serves where it is better in nearly all of them, and is not costlier
in nearly all of them.

Where nothing serves that could be compared with, a model must show that it has any skill: that a score without any would hardly
rank this many frauds so high by chance.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.statistics.ranking import GAIN_MIN, Ranking, auc, average_precision, draw_counts

FRAUDS_MIN = 5
"""Fewer than this among what the serving model never saw, and all of the slice is compared on."""
SAMPLES = 1_000
"""Bootstrap samples: a probability of 0.9 is then known to within 0.02."""
GENUINE_MAX = 50_000
"""Genuine transactions compared on at most, evenly over time, so that the time the gate takes is bounded."""


def select_unseen(
    event_time_ms: NDArray[np.int64], fraud: NDArray[np.bool_], trained_until_ms: int, frauds_min: int = FRAUDS_MIN
) -> NDArray[np.bool_]:
    """Which rows of the test slice to compare on: those newer than the serving model's data, where these hold `frauds_min` frauds.

    Otherwise all of them, which favours the serving model: it learned from some.

    `event_time_ms`, `fraud` and the result have the shape (n,); times are UTC.
    """
    newer = event_time_ms > trained_until_ms
    enough = int(fraud[newer].sum()) >= frauds_min and not bool(fraud[newer].all())
    return newer if enough else np.ones(len(fraud), dtype=np.bool_)


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

    def to_values(self) -> dict[str, float]:
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

    `fraud`: (n,), in step with the rows of both sides.
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
        drawn = weight * draw_counts(kept, random, 1)[0]
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


@dataclass(frozen=True, slots=True)
class Skill:
    """What a model achieves on transactions that it never saw, where nothing can be compared with it."""

    transactions: int
    frauds: int
    auc: float
    average_precision: float
    chance: float
    """Probability that a score without any skill reaches this AUC."""

    def to_values(self) -> dict[str, float]:
        """For an alarm or a report."""
        return {
            "transactions": float(self.transactions),
            "frauds": float(self.frauds),
            "auc_roc": self.auc,
            "average_precision": self.average_precision,
            "chance": self.chance,
        }


def measure_skill(score: NDArray[np.floating], fraud: NDArray[np.bool_]) -> Skill:
    """Of n scores, both kinds present.

    Where the score says nothing, every order of the n is as likely. Then the AUC has the mean 1/2 and a known variance, less where
    scores are equal (Mann and Whitney, 1947), and is nearly normal from two of each kind on.

    `score` and `fraud` have the shape (n,); a higher score is more suspicious.
    """
    n, frauds = len(fraud), int(fraud.sum())
    _, ties = np.unique(score, return_counts=True)
    tied = float(np.sum(ties.astype(np.float64) ** 3 - ties)) / (n * max(1, n - 1))
    variance = (n + 1 - tied) / (12 * frauds * (n - frauds))
    reached = auc(score, fraud)
    chance = 0.5 * math.erfc((reached - 0.5) / math.sqrt(2 * variance)) if variance > 0 else 1.0
    return Skill(n, frauds, reached, average_precision(score, fraud), chance)


def find_lack_of_skill(found: Skill, confidence: float) -> str | None:
    """Why a first model must not serve, in a sentence with its numbers; None where it may."""
    if found.chance <= 1 - confidence:
        return None
    return (
        f"it shows no skill: AUC {found.auc:.3f}, average precision {found.average_precision:.3f} (guessing gives "
        f"{found.frauds / found.transactions:.3f}) on the newest {found.transactions:,} trusted transactions, "
        f"{found.frauds:,} of them frauds; chance alone does as well in {found.chance:.0%} of cases, "
        f"{1 - confidence:.0%} are allowed (trainer.gate_confidence)"
    )


def find_refusal(found: Comparison, *, confidence: float, frauds_min: int) -> str | None:
    """Why the challenger must not serve, in a sentence with its numbers; None where it may."""
    return find_shortage(found, frauds_min) or _not_better(found, confidence) or find_higher_cost(found, confidence)


def find_shortage(found: Comparison, frauds_min: int) -> str | None:
    """That nothing can be said by so few frauds; None where they are enough."""
    if found.frauds >= frauds_min:
        return None
    return f"{_where(found)}, nothing can be said: {frauds_min} frauds are needed (trainer.gate_frauds_min)"


def find_higher_cost(found: Comparison, confidence: float) -> str | None:
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
