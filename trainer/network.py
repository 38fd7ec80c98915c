"""The Keras network: a first layer that takes raw features (NaN allowed), two hidden layers, one logit.

Everything between a raw feature vector and a probability is in the graph, so a worker only fills a float32 array. All
operations are ones that ONNX Runtime has: log(1 + x) instead of log1p, equality instead of hashing or bucketising.
"""

import keras

from contract.models import INPUT_NAME
from trainer.constants import Constants

HIDDEN = (64, 32)
DROPOUT = 0.1
SCALED_MAX = 8.0
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
    ops = keras.ops
    raw = ops.take(entry, constants.quantities, axis=1)
    present = ops.clip(ops.where(ops.isnan(raw), 0.0, raw), -VALUE_MAX, VALUE_MAX)
    compressed = ops.sign(present) * ops.log(1.0 + ops.abs(present))
    scaled = ops.clip((compressed - constants.mean) * constants.scale, -SCALED_MAX, SCALED_MAX)
    parts = [ops.where(ops.isnan(raw), 0.0, scaled)]
    if len(constants.missing):
        parts.append(ops.cast(ops.isnan(ops.take(entry, constants.missing, axis=1)), "float32"))
    if len(constants.category_columns):
        buckets = ops.take(entry, constants.category_columns, axis=1)
        parts.append(ops.cast(ops.equal(buckets, constants.category_buckets), "float32"))
    return ops.concatenate(parts, axis=1)
