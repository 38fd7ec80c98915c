"""What the numpy network's inputs are normalised by, where a federation measures it: moments of all participants together. Pure.

A model with room for it ends with two arrays more than its layers have: the pooled statistics and the calibration.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation.learning.learner import Arrays
from federation.numeric.calibration import PARAMETERS, Scaling

VALUE_MAX = 20.0
"""Of sign(x) log(1 + |x|): values of half a milliard are clipped."""
MOMENTS = 2
DEVIATION_MIN = 1e-3


class Parted(NamedTuple):
    """A model's arrays by their role; `form` is empty where it has no room for statistics."""

    layers: Arrays
    form: Arrays


def split_arrays(arrays: Arrays) -> Parted:
    """A layer ends with a matrix and a bias, a form with two vectors.

    For each layer weights (inputs, units) and a bias (units,); the form has moments (2 * F,) and a calibration
    (PARAMETERS,).
    """
    split = len(arrays) - 2 if arrays[-2].ndim == 1 else len(arrays)
    return Parted(arrays[:split], arrays[split:])


def make_empty(features: int) -> list[NDArray[np.float32]]:
    """A form that nobody has measured. Moments (2 * F,) for F `features`, and a calibration (PARAMETERS,)."""
    return [np.zeros(MOMENTS * features, np.float32), np.zeros(PARAMETERS, np.float32)]


def summarise(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of the clipped values and of their squares, scaled so that each example's part has a norm of at most 1.

    From features (n, F), n >= 1, to (2 * F,).
    """
    values = _bounded(features)
    both = np.concatenate([values.mean(axis=0), (values**2).mean(axis=0)])
    return (both / math.sqrt(MOMENTS * features.shape[1])).astype(np.float32)


def normalise(form: Arrays, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Deviations from the pooled mean; `features` as they are where nothing was measured.

    `features` and the result: (n, F). `form`: moments (2 * F,) and a calibration (PARAMETERS,), or nothing.
    """
    if not form or not np.any(form[0]):
        return features
    mean, square = (form[0].astype(np.float64) * math.sqrt(len(form[0]))).reshape(MOMENTS, -1)
    deviation = np.sqrt(np.maximum(square - mean**2, (DEVIATION_MIN / VALUE_MAX) ** 2))
    return np.asarray((_bounded(features) - mean) / deviation, dtype=np.float32)


def read_scaling(form: Arrays) -> Scaling | None:
    """The calibration, where there is one. `form`: moments (2 * F,) and a calibration (PARAMETERS,), or nothing."""
    return Scaling(*map(float, form[1])) if form and form[1][0] > 0 else None


def _bounded(features: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    return np.asarray(np.clip(np.sign(wide) * np.log1p(np.abs(wide)) / VALUE_MAX, -1, 1), dtype=np.float64)
