"""SMOTE: synthetic frauds between neighbouring frauds (Chawla et al., 2002), by imbalanced-learn.

Interpolating needs numbers on one scale and none missing; so it happens on compressed, standardised values with the
mean instead of what is missing. What is missing in the nearest real fraud is missing again in the synthetic one, and its
categories are taken over, since half way between two hash buckets lies nothing.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.features import get_schema
from trainer.examples.examples import Examples
from trainer.model.preprocessing import compress

T = TypeVar("T", bound=np.generic)
NEIGHBOURS = 5
FRAUD_SHARE = 0.1
"""Of the examples afterwards: enough for every batch to hold some."""


def oversample(examples: Examples, seed: int) -> Examples:
    """`examples` with synthetic frauds alongside, each at the time of the real one it is nearest to, with its amount and weight."""
    frauds = np.flatnonzero(examples.fraud)
    wanted = round(FRAUD_SHARE / (1 - FRAUD_SHARE) * (len(examples) - len(frauds)))
    if len(frauds) <= NEIGHBOURS or wanted <= len(frauds):
        return examples
    scaled, mean, scale = _scaled(examples.features[frauds])
    synthetic = _smote(scaled, wanted, seed)
    parent = _nearest(synthetic, scaled)
    rows = _raw(synthetic * scale + mean)
    real = examples.features[frauds[parent]]
    categories = np.array([bool(feature.buckets) for feature in get_schema()])
    rows = np.where(np.isnan(real) | categories, real, rows).astype(np.float32)
    source = frauds[parent]
    order = np.argsort(np.concatenate((examples.event_time_ms, examples.event_time_ms[source])), kind="stable")

    def joined(values: NDArray[T], more: NDArray[T]) -> NDArray[T]:
        return np.asarray(np.concatenate((values, more))[order])

    return Examples(
        event_time_ms=joined(examples.event_time_ms, examples.event_time_ms[source]),
        features=np.asarray(np.concatenate((examples.features, rows))[order], dtype=np.float32),
        fraud=joined(examples.fraud, examples.fraud[source]),
        amount=joined(examples.amount, examples.amount[source]),
        weight=joined(examples.weights, examples.weights[source]),
    )


def _scaled(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    values = compress(rows).astype(np.float64)
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt((np.where(present, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(deviation > 0, deviation, 1.0)
    return np.where(present, (values - mean) / scale, 0.0), mean, scale


def _raw(compressed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of trainer.model.preprocessing.compress."""
    return np.asarray(np.sign(compressed) * np.expm1(np.abs(compressed)), dtype=np.float64)


def _smote(frauds: NDArray[np.float64], wanted: int, seed: int) -> NDArray[np.float64]:
    """The synthetic rows alone. The other class stands there only because the library wants two."""
    from imblearn.over_sampling import SMOTE  # type: ignore[import-untyped]  # noqa: PLC0415 - seconds to import, for this option only

    others = np.zeros((wanted, frauds.shape[1]))
    kind = np.concatenate((np.ones(len(frauds), dtype=np.int64), np.zeros(wanted, dtype=np.int64)))
    made, _ = SMOTE(k_neighbors=NEIGHBOURS, random_state=seed).fit_resample(np.concatenate((frauds, others)), kind)
    return np.asarray(made[len(kind) :], dtype=np.float64)


def _nearest(rows: NDArray[np.float64], frauds: NDArray[np.float64]) -> NDArray[np.int64]:
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - a second to import, for this option only

    found = NearestNeighbors(n_neighbors=1).fit(frauds).kneighbors(rows, return_distance=False)
    return np.asarray(found[:, 0], dtype=np.int64)
