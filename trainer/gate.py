"""Whether a new model may take the place of the one that serves. Pure."""

import numpy as np
from numpy.typing import NDArray

from trainer.evaluate import average_precision

FRAUDS_MIN = 5
"""Fewer than this among what the serving model never saw, and all of the slice is compared on."""
LOSS_MAX = 0.02
"""Average precision that may be lost: below it, the difference is the luck of some few frauds."""


def unseen(event_time_ms: NDArray[np.int64], fraud: NDArray[np.bool_], trained_until_ms: int) -> NDArray[np.bool_]:
    """Which rows of the test slice to compare on: those newer than the serving model's data, where these hold enough frauds.

    Otherwise all of them, which favours the serving model: it learned from some.
    """
    newer = event_time_ms > trained_until_ms
    enough = int(fraud[newer].sum()) >= FRAUDS_MIN
    return newer if enough else np.ones(len(fraud), dtype=np.bool_)


def objection(challenger: NDArray[np.floating], champion: NDArray[np.floating], fraud: NDArray[np.bool_]) -> str | None:
    """Why the challenger must not serve, in a sentence; None where it may. Scores of shape (n,), at least one fraud."""
    new, old = average_precision(challenger, fraud), average_precision(champion, fraud)
    if new >= old - LOSS_MAX:
        return None
    return f"average precision {new:.3f} on the newest {len(fraud):,} transactions, where the model that serves reaches {old:.3f}"
