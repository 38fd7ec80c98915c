"""Labelled examples made up from a seed, and their division among participants that differ. Pure."""

from collections.abc import Sequence

import numpy as np

from federation.learning.numpy_learner import Data


def generate_transactions(examples: int, features: int, fraud_share: float, seed: int, kinds: int = 3) -> Data:
    """Standardised examples with frauds of several kinds, each a cloud of its own next to the genuine ones."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((examples, features))
    labels = random.random(examples) < fraud_share
    centres = random.standard_normal((kinds, features)) * 1.2
    values[labels] = values[labels] * 0.8 + centres[random.integers(kinds, size=int(labels.sum()))]
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    return Data(values.astype(np.float32), labels)


def divide(data: Data, participants: int, skew: float, seed: int) -> list[Data]:
    """One part for each participant: of each label it gets a share drawn from a Dirichlet distribution.

    `skew` is its concentration: 0.1 gives participants that hardly see a fraud, 100 gives equal ones.
    """
    random = np.random.default_rng(seed)
    owners = np.empty(len(data.labels), dtype=np.int64)
    for label in (False, True):
        places = random.permutation(np.flatnonzero(data.labels == label))
        shares = random.dirichlet([skew] * participants)
        owners[places] = np.searchsorted(
            np.cumsum(shares)[:-1], np.linspace(0, 1, len(places), endpoint=False), "right"
        )
    return [Data(data.features[owners == owner], data.labels[owners == owner]) for owner in range(participants)]


def split(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """`share` of the examples, at random, and the rest."""
    order = np.random.default_rng(seed).permutation(len(data.labels))
    cut = round(len(order) * share)
    return _chosen(data, order[:cut]), _chosen(data, order[cut:])


def join_parts(parts: Sequence[Data]) -> Data:
    """All examples together: what a central training would see."""
    return Data(np.concatenate([part.features for part in parts]), np.concatenate([part.labels for part in parts]))


def _chosen(data: Data, places: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> Data:
    return Data(data.features[places], data.labels[places])
