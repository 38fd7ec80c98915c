"""Whether a retailer takes a global model: by what was measured on its own newest labels. Pure.

A retailer's newest labels hold few frauds, a global model has learned from those of all. So it has the benefit of the doubt:
another serves only if it is better in nearly all of many samples drawn from these labels (contract.statistics.ranking). The higher
figure alone would be luck: by 18 frauds two retailers in five turned down a model that was better for 39 of 40. The first global
models have not learned much yet, and have to be surely better themselves.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.statistics.ranking import average_precision, estimate_win_share
from federation.learning.learner import Choice


class Verdict(NamedTuple):
    """The choice and why, in words."""

    choice: Choice
    reason: str


class Rival(NamedTuple):
    """Another candidate next to the one that has the benefit of the doubt, on the same newest examples."""

    precision: float
    """Average precision, in [0, 1]."""
    surely: float
    """Share of samples in which it is the better of the two."""


def compute_confidence(confidence: float, *, trainings: int, proving: int) -> float:
    """The share of samples in which another must be the better to serve, instead of a global model of this many rounds of training.

    One of the first `proving` gives way to what is better in 1 - `confidence` of them, and never later than others do.
    """
    return confidence if trainings > proving else min(confidence, 1 - confidence)


def choose(candidate: Choice, precision: float, rivals: Mapping[Choice, Rival], *, confidence: float) -> Verdict:
    """The candidate, of average precision `precision`, unless rivals are better in at least `confidence` of samples: then the best."""
    sure = [name for name in rivals if rivals[name].surely >= confidence]
    if sure:
        best = max(sure, key=lambda name: rivals[name].precision)
        return Verdict(best, f"{best} has {_told(rivals[best])}, {candidate} {precision:.3f}")
    others = ", ".join(f"{name} {_told(rival)}" for name, rival in rivals.items())
    return Verdict(candidate, f"{candidate} has {precision:.3f}" + (f"; {others}" if others else ""))


def choose_model(
    scores: Mapping[Choice, NDArray[np.floating]],
    fraud: NDArray[np.bool_],
    *,
    frauds_min: int,
    confidence: float,
    seed: int,
    weight: NDArray[np.floating] | None = None,
) -> Verdict:
    """The choice among candidates by their scores of the same newest examples, each of shape (n,); `global` must be there.

    `weight`, shape (n,): what each example counts; None: all the same. On less than `frauds_min` frauds `local` stays where there
    is one: nothing bad would be noticed. Scores that are not finite are those of no candidate.
    """
    usable = {name: each for name, each in scores.items() if np.isfinite(each).all()}
    frauds = int(fraud.sum())
    if "local" in usable and frauds < frauds_min:
        return Verdict("local", f"{frauds} known frauds are too few to judge by, {frauds_min} are needed")
    if "global" not in usable:
        return Verdict("local", "the global model's scores are no finite numbers")
    common = usable.pop("global")
    if not frauds:
        return Verdict("global", "there is no local model, and no known fraud to judge by")
    rivals = {
        name: Rival(
            average_precision(each, fraud, weight),
            estimate_win_share(each, common, fraud, seed=seed, weight=weight),
        )
        for name, each in usable.items()
    }
    return choose("global", average_precision(common, fraud, weight), rivals, confidence=confidence)


def _told(rival: Rival) -> str:
    return f"{rival.precision:.3f}, better in {rival.surely:.0%} of resamplings"
