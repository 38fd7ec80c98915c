"""AUC and average precision, and how sure it is that one model's is higher than another's. Pure.

Both models score the same examples; a sample draws from these with repetition, frauds and genuine ones apart (a paired bootstrap,
Efron 1979). Everything that compares models judges by it.
"""

import numpy as np
from numpy.typing import NDArray

GAIN_MIN = 0.002
"""Average precision by which a model must be better to count as better at all: trained again on the same, it moves by so much."""
SAMPLES = 400
"""Of `estimate_win_share`: a share of 0.9 is then known to within 0.015."""
DRAWN_AT_ONCE = 500_000
"""Bounds the memory that samples take: this many draws are held together."""


class Ranking:
    """n scores in descending order, so that their measures under many weights cost one sort."""

    def __init__(self, score: NDArray[np.floating], fraud: NDArray[np.bool_]) -> None:
        """Both of shape (n,), n >= 1."""
        self._order = np.argsort(-score, kind="stable")
        self._fraud = fraud[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(score[self._order])), len(score) - 1)

    def average_precision(self, weight: NDArray[np.floating] | None = None) -> float:
        """Sum of precision times gain of recall, in [0, 1], equal scores taken together; needs a fraud of weight above 0.

        `weight`, shape (n,), >= 0: what each row counts; None: all 1.
        """
        counted = np.ones((1, len(self._order))) if weight is None else weight[np.newaxis]
        return float(self.average_precisions(counted)[0])

    def average_precisions(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """One for each row of `weights`, which have shape (samples, n)."""
        ranked = weights[:, self._order]
        caught = np.cumsum(np.where(self._fraud, ranked, 0.0), axis=1)[:, self._ends]
        reached = np.cumsum(ranked, axis=1)[:, self._ends]
        precision = np.divide(caught, reached, out=np.zeros(caught.shape), where=reached > 0)
        gained = np.diff(caught / caught[:, -1:], prepend=0.0, axis=1)
        # Where every fraud comes first the differences may add up to the least bit more than 1.
        return np.asarray(np.minimum(np.sum(precision * gained, axis=1), 1.0), dtype=np.float64)

    def auc(self, weight: NDArray[np.floating] | None = None) -> float:
        """Probability in [0, 1] that a fraud scores above a genuine row, ties half (Mann and Whitney, 1947).

        `weight` as in `average_precision`; needs a fraud and a genuine row of weight above 0.
        """
        counted = np.ones(len(self._order)) if weight is None else weight
        ranked = counted[self._order]
        frauds = np.diff(np.cumsum(np.where(self._fraud, ranked, 0.0))[self._ends], prepend=0.0)
        above = np.cumsum(np.where(self._fraud, 0.0, ranked))[self._ends]
        below = above[-1] - above + np.diff(above, prepend=0.0) / 2
        return float(frauds @ below / (frauds.sum() * above[-1]))


def auc(score: NDArray[np.floating], fraud: NDArray[np.bool_]) -> float:
    """See Ranking.auc, of scores of shape (n,); NaN with one kind only."""
    return Ranking(score, fraud).auc() if fraud.any() and not fraud.all() else float("nan")


def average_precision(
    score: NDArray[np.floating], fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None = None
) -> float:
    """See Ranking.average_precision, of scores of shape (n,); NaN without frauds."""
    return Ranking(score, fraud).average_precision(weight) if fraud.any() else float("nan")


def draw_counts(fraud: NDArray[np.bool_], random: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """How often each of n rows is drawn when as many are drawn with repetition, frauds and genuine ones apart: (samples, n)."""
    times = np.zeros((samples, len(fraud)))
    for rows in (np.flatnonzero(fraud), np.flatnonzero(~fraud)):
        many = len(rows)
        if many:
            places = random.integers(0, many, (samples, many)) + many * np.arange(samples)[:, np.newaxis]
            times[:, rows] = np.bincount(places.ravel(), minlength=samples * many).reshape(samples, many)
    return times


def estimate_win_share(
    one: NDArray[np.floating],
    other: NDArray[np.floating],
    fraud: NDArray[np.bool_],
    *,
    seed: int,
    weight: NDArray[np.floating] | None = None,
    samples: int = SAMPLES,
) -> float:
    """Share of samples in which the average precision of `one` is higher by GAIN_MIN at least; 0 where nothing is fraud.

    Scores, `fraud` and `weight`, what each row counts, have shape (n,).
    """
    if not fraud.any():
        return 0.0
    random, rankings = np.random.default_rng(seed), [Ranking(score, fraud) for score in (one, other)]
    better, step = 0, max(1, DRAWN_AT_ONCE // len(fraud))
    for begin in range(0, samples, step):
        drawn = draw_counts(fraud, random, min(step, samples - begin))
        if weight is not None:
            drawn *= weight
        first, second = (ranking.average_precisions(drawn) for ranking in rankings)
        better += int(np.count_nonzero(first > second + GAIN_MIN))
    return better / samples
