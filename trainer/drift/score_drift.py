"""Whether the scores have changed, by ADWIN over them in event-time order. Pure and seeded.

ADWIN (A. Bifet, R. Gavalda, Learning from Time-Changing Data with Adaptive Windowing, 2007; river's implementation) keeps the
longest window whose mean has not changed, and drops its older part when that part's mean differs by more than chance allows.
Here it first sees scores as they were at training, so that a change from before the window is found too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.drift.profile import SCORE_LEVELS

REFERENCE_DRAWS = 2_000
"""Scores drawn from the training's distribution that ADWIN sees first."""


class ScoreDrift(NamedTuple):
    """What ADWIN says of n >= 1 scores."""

    changed: bool
    since_ms: int | None
    """Event time at which the present stretch begins; None: it was so from the first score on, or nothing changed."""
    mean_before: float
    """At training."""
    mean_now: float
    """Of the stretch that ends now."""

    @property
    def change(self) -> float:
        """Of the mean, as a share of what it was at training: 1 is twice as much."""
        return (self.mean_now - self.mean_before) / max(self.mean_before, 1e-6)


def score_drift(
    reference: NDArray[np.float64],
    mean_before: float,
    score: NDArray[np.float64],
    event_time_ms: NDArray[np.int64],
    *,
    delta: float,
    seed: int = 7,
) -> ScoreDrift:
    """Compares n >= 1 scores with themselves over time, and with training.

    Args:
        reference: the training's quantiles at trainer.drift.profile.SCORE_LEVELS.
        mean_before: the training's mean score.
        score: shape (n,).
        event_time_ms: shape (n,), in any order.
        delta: ADWIN's, the chance of a false alarm.
        seed: of the scores that are drawn from `reference`.
    """
    # SciPy and scikit-learn come with it: two seconds that a trainer pays at its first check, and commands without one never.
    from river.drift import ADWIN  # noqa: PLC0415

    make: Any = ADWIN  # river declares no types for it
    detector = make(delta=delta)
    for value in np.interp(np.random.default_rng(seed).random(REFERENCE_DRAWS), SCORE_LEVELS, reference):
        detector.update(float(value))
    order = np.argsort(event_time_ms, kind="stable")
    for value in score[order]:
        detector.update(float(value))
    # The window grows by one with every score and shrinks only where the older part differs.
    width = int(detector.width)
    changed, begins = width < REFERENCE_DRAWS + len(score), max(0, len(score) - width)
    since_ms = int(event_time_ms[order][begins]) if begins else None
    return ScoreDrift(changed, since_ms, mean_before, float(score[order][begins:].mean()))
