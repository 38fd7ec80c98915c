"""From Keras to ONNX, and the proof that both give the same numbers in ONNX Runtime itself.

tf2onnx converts some operations without complaint that ONNX Runtime then refuses; so the file is always loaded and run.
"""

import logging

import numpy as np
import onnx as onnx_format
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from contract.models import INPUT_NAME, OUTPUT_NAME, PARITY_MAX
from trainer.model.fit import build_scorer
from trainer.model.run_onnx import run_onnx
from trainer.model.tensorflow import keras, tf, tf2onnx

OPSET = 17
"""Understood by ONNX Runtime since 1.12."""
PARITY_ROWS_MAX = 4_096


def to_onnx(model: keras.Model) -> bytes:
    """The model as an ONNX file with input `features` (n, F) and output `score` (n, 1)."""
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    signature = [tf.TensorSpec((None, model.input_shape[1]), tf.float32, name=INPUT_NAME)]
    function = tf.function(
        lambda features: {OUTPUT_NAME: model(features, training=False)}, input_signature=signature, autograph=False
    )
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    return bytes(_plainly_named(proto).SerializeToString(deterministic=True))


def _plainly_named(proto: onnx_format.ModelProto) -> onnx_format.ModelProto:
    """The same graph with names in order of use, so that the same model has the same checksum.

    tf2onnx takes names from counters of the process.
    """
    graph, named = proto.graph, {INPUT_NAME: INPUT_NAME, OUTPUT_NAME: OUTPUT_NAME, "": ""}
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        for tensors in (node.input, node.output):
            tensors[:] = [named.setdefault(tensor, f"t{len(named)}") for tensor in tensors]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    weights = [weight for weight in graph.initializer if weight.name in named]
    for weight in weights:
        weight.name = named[weight.name]
    del graph.value_info[:], graph.initializer[:]
    graph.doc_string = ""
    graph.initializer.extend(sorted(weights, key=lambda weight: weight.name))
    return proto


def measure_parity(model: keras.Model, onnx: bytes, features: NDArray[np.float32]) -> float:
    """Greatest absolute difference between Keras and ONNX on `features` and on the same rows with holes and extremes.

    Raises TrainingRefusedError above PARITY_MAX, or where a score leaves [0, 1].

    `features`: (n, F), NaN where a feature is missing.
    """
    rows = build_probes(features)
    keras_score, onnx_score = build_scorer(model)(rows), run_onnx(onnx, rows)
    if not np.all((onnx_score >= 0) & (onnx_score <= 1)):
        raise TrainingRefusedError("the exported model gives scores outside [0, 1]")
    difference = float(np.max(np.abs(keras_score - onnx_score)))
    if not difference <= PARITY_MAX:
        raise TrainingRefusedError(f"Keras and ONNX differ by {difference:.2g}, at most {PARITY_MAX} is published")
    return difference


def build_probes(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows to compare on: the given ones, then with every third value missing, one row all missing, zeros, extremes.

    From (n, F) to (m, F), NaN where a feature is missing; m is at most 2 * PARITY_ROWS_MAX + 5.
    """
    given = np.asarray(features[:PARITY_ROWS_MAX], dtype=np.float32)
    holes = given.copy()
    holes.reshape(-1)[::3] = np.nan
    width = given.shape[1]
    special = np.array([[np.nan], [0.0], [1e12], [-1e12], [np.inf]], dtype=np.float32)
    return np.concatenate((given, holes, np.broadcast_to(special, (len(special), width))))
