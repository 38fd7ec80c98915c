"""Measures of scores against labels, in numpy: what a simulation and a simple learner report. Pure."""

import numpy as np
from numpy.typing import NDArray

from contract.statistics.ranking import auc, average_precision

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_]
AP = "ap"
"""Average precision's name among what is measured: the figure that models are chosen and compared by."""


def log_loss(probabilities: Scores, labels: Labels) -> float:
    """Mean negative log likelihood in nats; probabilities are held to [1e-7, 1 - 1e-7].

    Both have the shape (n,), n >= 1.
    """
    held = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(labels, np.log(held), np.log1p(-held))))


def compute_accuracy(probabilities: Scores, labels: Labels) -> float:
    """Share that is right at one half. Both have the shape (n,), n >= 1."""
    return float(np.mean((probabilities >= 0.5) == labels))


def compute_probabilities(logits: Scores) -> NDArray[np.float64]:
    """Of fraud, in (0, 1); logits beyond 60 are taken for 60."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -60, 60))), dtype=np.float64)


def measure(probabilities: Scores, labels: Labels) -> dict[str, float]:
    """All of them that are defined, by name; none without examples.

    Both have the shape (n,); probabilities are within [0, 1].
    """
    if not len(labels):
        return {}
    found = {
        "auc": auc(probabilities, labels),
        AP: average_precision(probabilities, labels),
        "accuracy": compute_accuracy(probabilities, labels),
        "loss": log_loss(probabilities, labels),
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}
