"""What retailers sum up of their inputs, and what the common first layer takes from the sum. Pure.

Of each feature: how often it is there, its mean and its mean square, in units of its kind's public scale and cut at public
bounds; of amounts besides a histogram on public edges, for quantiles. A retailer gives means over its examples, so that the
sum's size says nothing of it but its weight; whatever comes back is held to bounds, since noise or a liar may have moved it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.model.preprocessing import compress

DEVIATIONS_MAX = 8.0
"""Of the kind's scale around its mean: log(1 + x) of amounts a thousand times as large lies within."""
EDGES = np.linspace(0.0, 16.0, 65)
"""Of log(1 + amount): up to nine million, a factor of 1.3 apart."""
BINS = len(EDGES) - 1
PRESENT_MIN = 0.01
"""A feature that is there less often keeps its kind's scale."""
STRETCH_MAX = 4.0
"""A deviation is held within this many times that of the kind."""


class Kind(NamedTuple):
    """What features of one unit get."""

    mean: float
    """Of the compressed value; 0 where most values are 0, so that a count never seen above 0 has no say."""
    scale: float
    cuts: tuple[float, ...] = ()
    """Where steps stand, in the feature's own unit."""
    quantiles: tuple[float, ...] = ()
    """Which quantiles the steps move to, as many as there are steps; empty: steps stay."""
    measured: bool = True
    """Whether mean and scale are taken from statistics."""


def count_numbers(kinds: Sequence[Kind]) -> int:
    """How many numbers are summed up."""
    numeric, amounts = _columns(kinds)
    return 3 * len(numeric) + BINS * len(amounts)


def summarise(
    kinds: Sequence[Kind], features: NDArray[np.float32], weight: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Shape (size(kinds),): a mean over rows of `features` (shape (n, F), NaN where missing), each row's part of norm <= 1."""
    numeric, amounts = _columns(kinds)
    counts = np.ones(len(features)) if weight is None else weight.astype(np.float64)
    shares = counts / counts.sum()
    moments = np.zeros((3, len(numeric)))
    for place, column in enumerate(numeric):
        kind, values = kinds[column], features[:, column]
        there = ~np.isnan(values)
        bounded = (compress(values[there]).astype(np.float64) - kind.mean) * kind.scale / DEVIATIONS_MAX
        np.clip(bounded, -1, 1, out=bounded)
        own = shares[there]
        moments[:, place] = own.sum(), own @ bounded, own @ bounded**2
    histograms = [_histogram(features[:, column], shares) for column in amounts]
    return np.asarray(np.concatenate([moments.ravel(), *histograms]) / _length(kinds), dtype=np.float32)


def adapt(kinds: Sequence[Kind], pooled: NDArray[np.float32]) -> list[Kind]:
    """The kinds with means, scales and cuts of the pooled statistics (shape (size(kinds),), finite); each is held to bounds."""
    numeric, amounts = _columns(kinds)
    values = pooled.astype(np.float64) * _length(kinds)
    moments = values[: 3 * len(numeric)].reshape(3, -1)
    histograms = values[3 * len(numeric) :].reshape(len(amounts), BINS)
    found = list(kinds)
    for column, (present, mean, square) in zip(numeric, moments.T, strict=True):
        if present >= PRESENT_MIN:
            found[column] = _moved(found[column], mean / present * DEVIATIONS_MAX, square / present * DEVIATIONS_MAX**2)
    for column, histogram in zip(amounts, np.maximum(histograms, 0.0), strict=True):
        if histogram.sum() >= PRESENT_MIN:
            found[column] = found[column]._replace(cuts=_quantiles(histogram, found[column].quantiles))
    return found


def _columns(kinds: Sequence[Kind]) -> tuple[list[int], list[int]]:
    """Those with moments, and those with histograms."""
    numeric = [column for column, kind in enumerate(kinds) if kind.measured]
    return numeric, [column for column, kind in enumerate(kinds) if kind.quantiles]


def _length(kinds: Sequence[Kind]) -> float:
    """The longest that one example's part can be."""
    numeric, amounts = _columns(kinds)
    return math.sqrt(3 * len(numeric) + len(amounts))


def _histogram(values: NDArray[np.float32], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    there = ~np.isnan(values)
    place = np.searchsorted(EDGES, compress(values[there]), side="right") - 1
    counts = np.bincount(np.clip(place, 0, BINS - 1), weights=shares[there], minlength=BINS)
    return np.asarray(counts, dtype=np.float64)


def _moved(kind: Kind, mean: float, square: float) -> Kind:
    """`mean` and `square` in deviations of the kind."""
    mean = min(max(mean, -DEVIATIONS_MAX), DEVIATIONS_MAX)
    # A mean of 0 is meant, so there the scale is that around 0.
    variance = square if kind.mean == 0 else square - mean**2
    deviation = min(max(math.sqrt(max(variance, 0.0)), 1 / STRETCH_MAX), STRETCH_MAX)
    return kind._replace(
        mean=kind.mean if kind.mean == 0 else kind.mean + mean / kind.scale, scale=kind.scale / deviation
    )


def _quantiles(histogram: NDArray[np.float64], levels: Sequence[float]) -> tuple[float, ...]:
    """In the feature's own unit, even within a bin."""
    reached = np.cumsum(histogram)
    found = []
    for level in levels:
        wanted = min(level * reached[-1], reached[-1])
        place = int(np.searchsorted(reached, wanted))  # the first bin that reaches it, so it holds something
        part = (wanted - reached[place] + histogram[place]) / histogram[place]
        found.append(float(np.expm1(EDGES[place] + part * (EDGES[place + 1] - EDGES[place]))))
    return tuple(found)
