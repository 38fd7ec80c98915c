"""Small valid models made with the onnx package alone, so that a test needs no TensorFlow."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contract.features import get_feature_names, get_schema_hash
from contract.models import (
    CHALLENGE_KEY,
    INPUT_NAME,
    OUTPUT_NAME,
    DataRange,
    Manifest,
    ModelChallenge,
    ModelPromotion,
    Thresholds,
)
from contract.package import build_package, hash_onnx, hash_package, to_messages, to_promotion

NOW = datetime(2026, 11, 1, tzinfo=UTC)
THRESHOLDS = Thresholds(flag=0.3, hold=0.6, block=0.9)


def linear_onnx(weights: Mapping[str, float], bias: float = -3.0) -> bytes:
    """sigmoid(bias + sum of weight x feature), a missing feature counting as 0."""
    column = np.zeros((len(get_feature_names()), 1), dtype=np.float32)
    for name, weight in weights.items():
        column[get_feature_names().index(name), 0] = weight
    return graph([(column, np.array([bias], dtype=np.float32))])


def random_onnx(seed: int, hidden: Sequence[int] = (32, 16), first: float = 0.5) -> bytes:
    """A random network whose scores spread over [0, 1]; `first` shrinks the weights on features, for large ones."""
    generator = np.random.default_rng(seed)
    sizes = [len(get_feature_names()), *hidden, 1]
    layers = []
    for inputs, outputs in pairwise(sizes):
        scale = first if inputs == len(get_feature_names()) else 1.0
        weights = generator.normal(size=(inputs, outputs)) / np.sqrt(inputs) * scale
        layers.append((weights.astype(np.float32), generator.normal(size=outputs).astype(np.float32) * 0.1))
    return graph(layers)


def graph(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], output: str = "Sigmoid", features: int | None = None
) -> bytes:
    """NaN becomes 0, then dense layers with ReLU in between, then `output`."""
    initializers = [numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero")]
    nodes = [
        helper.make_node("IsNaN", [INPUT_NAME], ["missing"]),
        helper.make_node("Where", ["missing", "zero", INPUT_NAME], ["x0"]),
    ]
    for place, (weights, bias) in enumerate(layers):
        initializers += [numpy_helper.from_array(weights, f"w{place}"), numpy_helper.from_array(bias, f"b{place}")]
        nodes.append(helper.make_node("Gemm", [f"x{place}", f"w{place}", f"b{place}"], [f"y{place}"]))
        last = place == len(layers) - 1
        nodes.append(
            helper.make_node(output if last else "Relu", [f"y{place}"], [OUTPUT_NAME if last else f"x{place + 1}"])
        )
    return model(nodes, initializers, features)


def slow_onnx(steps: int) -> bytes:
    """The amount / 1000, but only after a loop of `steps` steps where the amount is 600.

    A thousand million steps take minutes; such a model passes its trial, which does not meet that amount.
    """
    value: list[str | int | None] = ["n", 1]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["value", "nothing"], ["value_on"])],
        "step",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, value),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_on", TensorProto.FLOAT, value),
        ],
        [numpy_helper.from_array(np.zeros(1, dtype=np.float32), "nothing")],
    )
    nodes = [
        helper.make_node("IsNaN", [INPUT_NAME], ["missing"]),
        helper.make_node("Where", ["missing", "zero", INPUT_NAME], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "high"], ["start"]),
        helper.make_node("Sub", ["start", "rare"], ["off"]),
        helper.make_node("Abs", ["off"], ["distance"]),
        helper.make_node("Less", ["distance", "near"], ["hits"]),
        helper.make_node("Cast", ["hits"], ["hit_numbers"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["hit_numbers"], ["any_hit"], keepdims=0),
        helper.make_node("Mul", ["any_hit", "steps"], ["count"]),
        helper.make_node("Loop", ["count", "go_first", "start"], [OUTPUT_NAME], body=body),
    ]
    weights = np.zeros((len(get_feature_names()), 1), dtype=np.float32)
    weights[0] = 0.001
    constants: dict[str, np.ndarray] = {
        "zero": np.zeros(1, np.float32),
        "weights": weights,
        "low": np.array(0.0, np.float32),
        "high": np.array(1.0, np.float32),
        "rare": np.array([0.6], np.float32),
        "near": np.array([1e-4], np.float32),
        "steps": np.array(steps, np.int64),
        "go_first": np.array(True),
    }
    return model(nodes, [numpy_helper.from_array(constant, name) for name, constant in constants.items()])


def model(
    nodes: Sequence[onnx.NodeProto], initializers: Sequence[onnx.TensorProto], features: int | None = None
) -> bytes:
    """The bytes of a graph with the contract's input and output."""
    width = len(get_feature_names()) if features is None else features
    made = helper.make_model(
        helper.make_graph(
            list(nodes),
            "tiny",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", width])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n", 1])],
            list(initializers),
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 9
    return bytes(made.SerializeToString())


def tiny_manifest(graph_bytes: bytes, version: str = "tiny-1", retailer: str = "shop", **changes: Any) -> Manifest:
    """A manifest that fits; ordinary is 0 for every feature."""
    fields: dict[str, Any] = {
        "model_version": version,
        "retailer": retailer,
        "created_at": NOW,
        "feature_schema": get_schema_hash(),
        "features": len(get_feature_names()),
        "onnx_sha256": hash_onnx(graph_bytes),
        "thresholds": THRESHOLDS,
        "ordinary": [0.0] * len(get_feature_names()),
        "data": DataRange(first=NOW, last=NOW, transactions=100, frauds=10),
        "metrics": {"auc": 0.9},
        "parity_max_abs_diff": 1e-7,
        "parameters": {},
    }
    return Manifest(**(fields | changes))


def tiny_package(
    version: str = "tiny-1",
    retailer: str = "shop",
    weights: Mapping[str, float] | None = None,
    bias: float = -3.0,
    **changes: Any,
) -> bytes:
    """A whole package; by default the amount alone decides: 200 gives a score of .27, 400 .73, 600 .95."""
    graph_bytes = linear_onnx({"amount": 0.01} if weights is None else weights, bias)
    return build_package(tiny_manifest(graph_bytes, version, retailer, **changes), graph_bytes)


def tiny_messages(package: bytes, version: str = "tiny-1") -> list[tuple[bytes, bytes]]:
    """Chunks and the promotion, as they go over the models topic."""
    promotion = ModelPromotion(
        model_version=version, package_sha256=hash_package(package), promoted_at=NOW, promoted_by="test"
    )
    return [*to_messages(package), to_promotion(promotion)]


def tiny_challenge(
    package: bytes | None, version: str | None = "tiny-2", *, share: float | None = None, after_s: float = 1.0
) -> tuple[bytes, bytes]:
    """A challenge, `after_s` after the promotions of `tiny_messages`; a canary where a share is given, else in shadow."""
    challenge = ModelChallenge(
        model_version=version,
        package_sha256=None if package is None else hash_package(package),
        mode="shadow" if share is None else "canary",
        share=share or 0.0,
        decided_at=NOW + timedelta(seconds=after_s),
        decided_by="test",
    )
    return CHALLENGE_KEY.encode(), msgspec.json.encode(challenge)
