"""The Keras network: a first layer that takes raw features (NaN allowed), then a few small networks side by side, one logit each.

Everything between a raw feature vector and a probability is in the graph, so a worker only fills a float32 array. All
operations are ones that ONNX Runtime has: log(1 + x) instead of log1p, equality instead of hashing or bucketising.
"""

import numpy as np
from numpy.typing import NDArray

from contract.models import INPUT_NAME
from trainer.model.plan import HIDDEN
from trainer.model.preprocessing import Constants
from trainer.model.tensorflow import keras

DROPOUT = 0.2
SCALED_MAX = 5.0
"""Standard deviations beyond which a value is cut: far outside the training data a network's answer means nothing."""
VALUE_MAX = 1e30
"""Also turns infinities into numbers."""


def build(constants: Constants, features: int) -> keras.Model:
    """The network from raw features, shape (n, `features`), to logits, shape (n, 1); weights from Keras' global seed."""
    entry = keras.Input((features,), name=INPUT_NAME, dtype="float32")
    x = _prepared(entry, constants)
    for units in HIDDEN:
        x = keras.layers.Dropout(DROPOUT)(keras.layers.Dense(units, activation="relu")(x))
    return keras.Model(entry, keras.layers.Dense(1)(x))


def _prepared(entry: keras.KerasTensor, constants: Constants) -> keras.KerasTensor:
    """The inputs of the hidden layers, shape (n, constants.width).

    Computed with features as rows, shape (F, n): ONNX Runtime gathers rows many times faster than columns.
    """
    ops = keras.ops
    raw = ops.transpose(entry)
    missing = ops.isnan(raw)
    limited = ops.clip(ops.where(missing, 0.0, raw), -VALUE_MAX, VALUE_MAX)
    parts = [ops.where(missing, 0.0, _scaled(limited, constants))]
    if len(constants.step_columns):
        # A missing value stands before every step.
        before = ops.where(missing, -VALUE_MAX, limited)
        parts.append(_steps(ops.take(before, constants.step_columns, axis=0), constants))
    if len(constants.missing):
        parts.append(ops.cast(ops.take(missing, constants.missing, axis=0), "float32"))
    if len(constants.category_columns):
        buckets = ops.take(raw, constants.category_columns, axis=0)
        parts.append(ops.cast(ops.equal(buckets, _upright(constants.category_buckets)), "float32"))
    return ops.transpose(ops.concatenate(parts, axis=0))


def _scaled(value: keras.KerasTensor, constants: Constants) -> keras.KerasTensor:
    """Standard deviations from the mean of the compressed values."""
    ops = keras.ops
    compressed = ops.sign(value) * ops.log(1.0 + ops.abs(value))
    return ops.clip((compressed - _upright(constants.mean)) * _upright(constants.scale), -SCALED_MAX, SCALED_MAX)


def _steps(value: keras.KerasTensor, constants: Constants) -> keras.KerasTensor:
    """0 before each step, 1 behind it."""
    return keras.ops.clip((value - _upright(constants.step_starts)) * _upright(constants.step_slopes), 0.0, 1.0)


def _upright(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:, np.newaxis]
