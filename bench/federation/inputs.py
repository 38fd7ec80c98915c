"""Features as the inputs of the network that retailers learn together: the product's common form (trainer/federated/joint_form.py) in numpy. Pure.

It comes from the feature schema alone, so nothing of anybody's examples is in it. Columns that say the same of every training
example are left out: they are what this data has no word for (a card, a device), and would only cost time.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainer.federated import joint_form
from trainer.model.preprocessing import Constants, compress

EXTREME = 5.0
"""A single value beyond must not steer a network."""
_BEFORE_EVERY_STEP = np.float32(-np.inf)


def find_telling_columns(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Columns of features, each part of shape (n, F), that hold more than one value over all parts; missing is a value."""
    low = np.min([_least(part) for part in parts], axis=0)
    high = np.max([-_least(-part) for part in parts], axis=0)
    missing = np.array([np.isnan(part).mean(axis=0) for part in parts])
    varies = (low < high) | ((missing > 0).any(axis=0) & (missing < 1).any(axis=0))
    return np.flatnonzero(varies)


def _least(part: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.where(np.isnan(part), np.inf, part).min(axis=0, initial=np.inf), dtype=np.float32)


def build_form(columns: NDArray[np.int64]) -> Constants:
    """The common form, of these features only; categories, which none of this data has, are left out.

    `columns`: (k,), the places in the schema of the k features that stay.
    """
    form = joint_form.build_constants()
    place = np.full(len(form.mean), -1)
    place[columns] = np.arange(len(columns))
    steps, missing = place[form.step_columns] >= 0, place[form.missing] >= 0
    return replace(
        form,
        mean=form.mean[columns],
        scale=form.scale[columns],
        step_columns=place[form.step_columns[steps]],
        step_starts=form.step_starts[steps],
        step_slopes=form.step_slopes[steps],
        missing=place[form.missing[missing]],
        category_columns=np.empty(0, dtype=np.int64),
        category_buckets=np.empty(0, dtype=np.float32),
    )


def compute_inputs(features: NDArray[np.float32], form: Constants) -> NDArray[np.float32]:
    """Shape (n, form.width): scaled values with missing ones at the mean, then the steps, then what is missing."""
    missing = np.isnan(features)
    values = np.where(missing, 0, features).astype(np.float32)
    scaled = np.clip((compress(values) - form.mean) * form.scale, -EXTREME, EXTREME)
    stepped = np.where(missing, _BEFORE_EVERY_STEP, values)[:, form.step_columns]
    steps = np.clip((stepped - form.step_starts) * form.step_slopes, 0, 1)
    return np.concatenate((np.where(missing, 0, scaled), steps, missing[:, form.missing]), axis=1, dtype=np.float32)
