"""The model of the scoring benchmark: a random network of 226-64-32-1 that refuses about as often as a trained one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract.features import get_feature_names, get_schema_hash
from contract.models import INPUT_NAME, OUTPUT_NAME, DataRange, Manifest, ModelPromotion, Thresholds
from contract.package import (
    THRESHOLD_NEVER,
    build_package,
    hash_onnx,
    hash_package,
    to_messages,
    to_promotion,
)

SEED = 7
LAYERS = (64, 32, 1)
NEVER = Thresholds(flag=THRESHOLD_NEVER, hold=THRESHOLD_NEVER, block=THRESHOLD_NEVER)
SHARES = (0.99, 0.995, 0.999)
"""Quantiles of the score from which payments are flagged, held and blocked."""
_MADE = datetime(2026, 11, 1, tzinfo=UTC)


def choose_thresholds(scores: Sequence[float]) -> Thresholds:
    """Those under which one in a hundred of `scores` is not simply allowed."""
    flag, hold, block = np.quantile(np.array(scores), SHARES).tolist()
    return Thresholds(flag=flag, hold=hold, block=block)


def build_network_package(retailer: str, version: str, limits: Thresholds) -> bytes:
    """A whole package with the network."""
    graph = build_network()
    manifest = Manifest(
        model_version=version,
        retailer=retailer,
        created_at=_MADE,
        feature_schema=get_schema_hash(),
        features=len(get_feature_names()),
        onnx_sha256=hash_onnx(graph),
        thresholds=limits,
        ordinary=[0.0] * len(get_feature_names()),
        data=DataRange(first=_MADE, last=_MADE, transactions=1, frauds=1),
        metrics={},
        parity_max_abs_diff=0.0,
        parameters={"seed": SEED},
    )
    return build_package(manifest, graph)


def build_messages(content: bytes, version: str) -> list[tuple[bytes, bytes]]:
    """(key, value) for the models topic: the package and its promotion."""
    promotion = ModelPromotion(
        model_version=version, package_sha256=hash_package(content), promoted_at=_MADE, promoted_by="bench"
    )
    return [*to_messages(content), to_promotion(promotion)]


def build_network() -> bytes:
    """ONNX bytes: missing becomes 0, log(1 + |x|), then dense layers with ReLU, then a sigmoid."""
    generator = np.random.default_rng(SEED)
    initializers = [numpy_helper.from_array(np.array([value], np.float32), f"n{value}") for value in (0, 1)]
    nodes = [
        helper.make_node("IsNaN", [INPUT_NAME], ["missing"]),
        helper.make_node("Where", ["missing", "n0", INPUT_NAME], ["filled"]),
        helper.make_node("Abs", ["filled"], ["size"]),
        helper.make_node("Add", ["size", "n1"], ["above"]),
        helper.make_node("Log", ["above"], ["x0"]),
    ]
    for place, (inputs, outputs) in enumerate(pairwise((len(get_feature_names()), *LAYERS))):
        weights = (generator.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        initializers += [
            numpy_helper.from_array(weights, f"w{place}"),
            numpy_helper.from_array(np.zeros(outputs, np.float32), f"b{place}"),
        ]
        last = place == len(LAYERS) - 1
        nodes.append(helper.make_node("Gemm", [f"x{place}", f"w{place}", f"b{place}"], [f"y{place}"]))
        result = OUTPUT_NAME if last else f"x{place + 1}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"y{place}"], [result]))
    return _bytes(nodes, initializers)


def _bytes(nodes: Sequence[onnx.NodeProto], initializers: Sequence[onnx.TensorProto]) -> bytes:
    made = helper.make_model(
        helper.make_graph(
            list(nodes),
            "bench",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", len(get_feature_names())])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", 1])],
            list(initializers),
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 9
    return bytes(made.SerializeToString())
