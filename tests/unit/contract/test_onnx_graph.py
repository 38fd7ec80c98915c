"""A graph is read before ONNX Runtime sees it, and whatever our exporter does not make is refused with a reason."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from contract.errors import PackageRefusedError, TrainingRefusedError
from contract.features import get_feature_names
from contract.models import INPUT_NAME, OUTPUT_NAME
from contract.onnx_graph import NODES_MAX, WIDTH_MAX, check_graph
from contract.package import build_package, read_package
from scoring.models.onnx_model import OnnxModel
from support.tiny_model import linear_onnx, model, random_onnx, slow_onnx, tiny_manifest
from trainer.model.run_onnx import run_onnx

Change = Callable[[onnx.ModelProto], object]


def weights(name: str = "w", rows: int | None = None, columns: int = 1) -> TensorProto:
    return numpy_helper.from_array(np.zeros((rows or len(get_feature_names()), columns), np.float32), name)


def plain(*more: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> bytes:
    return model([helper.make_node("MatMul", [INPUT_NAME, "w"], [OUTPUT_NAME]), *more], [weights(), *initializers])


def changed(change: Change) -> bytes:
    proto = onnx.load_from_string(plain())
    change(proto)
    return bytes(proto.SerializeToString())


def outside(tensor: TensorProto, file: str = "secret.bin") -> TensorProto:
    """The tensor, its numbers in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", file
    return tensor


def sparse() -> onnx.SparseTensorProto:
    made = onnx.SparseTensorProto(dims=[4])
    made.values.CopyFrom(outside(weights("s", 4)))
    return made


def node_with(**attributes: Any) -> bytes:
    return plain(helper.make_node("Identity", [OUTPUT_NAME], ["more"], **attributes))


def inner(nodes: int = 1) -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Identity", ["a"], ["b"])] * nodes, "inner", [], [], [outside(weights())]
    )


def function(proto: onnx.ModelProto) -> None:
    made = helper.make_function("ours", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [])
    proto.functions.append(made)


def by_features() -> bytes:
    """As the exporter computes: features as rows, some of them gathered, and back again."""
    rows = numpy_helper.from_array(np.arange(len(get_feature_names())), "rows")
    nodes = [
        helper.make_node("Transpose", [INPUT_NAME], ["upright"], perm=[1, 0]),
        helper.make_node("Gather", ["upright", "rows"], ["some"], axis=0),
        helper.make_node("Transpose", ["some"], ["back"], perm=[1, 0]),
        helper.make_node("Gemm", ["back", "w"], [OUTPUT_NAME], alpha=0.5, transB=0),
    ]
    return model(nodes, [weights(), rows])


def doubled(times: int) -> bytes:
    """Each node writes its input twice."""
    nodes = [helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=1) for i in range(times)]
    return plain(helper.make_node("Identity", [INPUT_NAME], ["c0"]), *nodes)


def packed_sizes(*sizes: int) -> bytes:
    """A graph with six whole numbers of these sizes, which stand one behind the other as protobuf 3 packs them."""
    return plain_with(b"\x10\x07" + b"\x0a" + bytes([len(sizes), *sizes]) + b"\x42\x01t" + b"\x4a\x30" + bytes(48))


def plain_with(initializer: bytes) -> bytes:
    """`plain`, and behind its graph's own fields one more initializer."""
    proto = onnx.load_from_string(plain())
    graph = bytes(proto.graph.SerializeToString()) + b"\x2a" + bytes([len(initializer)]) + initializer
    proto.ClearField("graph")
    size = bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7])
    return bytes(proto.SerializeToString()) + b"\x3a" + size + graph


HOSTILE: dict[str, tuple[bytes, str]] = {
    "external initializer": (changed(lambda m: outside(m.graph.initializer[0])), "external data"),
    "external data without the mark": (
        changed(lambda m: m.graph.initializer[0].external_data.add(key="location", value="x")),
        "external data",
    ),
    "the mark of external data alone": (
        changed(lambda m: setattr(m.graph.initializer[0], "data_location", TensorProto.EXTERNAL)),
        "external data",
    ),
    "external tensor of an attribute": (node_with(value=outside(weights())), "a tensor in its attribute"),
    "external sparse attribute": (node_with(value=sparse()), "a sparse tensor"),
    "external data in a subgraph": (node_with(body=inner()), "a subgraph"),
    "subgraphs": (node_with(branches=[inner(), inner()]), "subgraphs"),
    "sparse initializer": (changed(lambda m: m.graph.sparse_initializer.append(sparse())), "sparse tensors"),
    "function": (changed(function), "functions"),
    "training information": (changed(lambda m: m.training_info.add()), "training information"),
    "custom domain": (plain(helper.make_node("Identity", [OUTPUT_NAME], ["x"], domain="com.example")), "com.example"),
    "imported domain": (changed(lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1))), "domain"),
    "loop": (plain(helper.make_node("Loop", ["w", "w"], ["x"])), "operator 'Loop'"),
    "loop of 10^15 steps": (slow_onnx(10**15), "go_first"),
    "tensor as large as asked": (plain(helper.make_node("ConstantOfShape", ["w"], ["x"])), "ConstantOfShape"),
    "random numbers": (plain(helper.make_node("RandomNormal", [], ["x"], shape=[10**9])), "RandomNormal"),
    "unknown attribute": (node_with(axis=1), "attribute 'axis' of Identity"),
    "text for a number": (plain(helper.make_node("Cast", [OUTPUT_NAME], ["x"], to=TensorProto.STRING)), "Cast"),
    "strings": (changed(lambda m: m.graph.initializer.append(TensorProto(name="t", data_type=TensorProto.STRING, dims=[1], string_data=[b"x"]))), "text"),
    "wide product": (plain(initializers=(weights("a", WIDTH_MAX + 1),)), "dimensions"),
    "no numbers": (plain(initializers=(numpy_helper.from_array(np.zeros((0, 4), np.float32), "a"),)), "dimensions"),
    "negative sizes": (changed(lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [-1, -360])), "dimensions"),
    "three dimensions": (plain(initializers=(numpy_helper.from_array(np.zeros((2, 2, 2), np.float32), "a"),)), "dimensions"),
    "less than it says, in packed sizes": (packed_sizes(2, 4), "as many numbers"),
    "less than it says": (changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, 4000)), "as many numbers"),
    "doubling": (doubled(12), "wide"),
    "too many nodes": (plain(*[helper.make_node("Abs", [INPUT_NAME], [f"a{i}"]) for i in range(NODES_MAX)]), "nodes"),
    "rows by computed numbers": (plain(helper.make_node("Gather", ["w", OUTPUT_NAME], ["x"], axis=0)), "constant list"),
    "from nowhere": (plain(helper.make_node("Abs", ["nothing"], ["x"])), "comes from nowhere"),
    "one name twice": (plain(helper.make_node("Abs", [INPUT_NAME], ["w"])), "two tensors"),
    "two graphs": (linear_onnx({}) + plain(), "2 graphs"),
    "no graph": (b"", "0 graphs"),
    "unknown field": (plain() + b"\xf8\x07\x01", "field 127"),
    "a number without end": (plain() + b"\x08" + b"\x80" * 10 + b"\x01", "more than 64 bits"),
    "group": (plain() + b"\x0b", "kind that ONNX files do not have"),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_what_the_exporter_does_not_make_is_refused_by_every_loader(graph: bytes, reason: str) -> None:
    with pytest.raises(PackageRefusedError, match="ONNX graph: ") as refusal:
        OnnxModel(read_package(build_package(tiny_manifest(graph), graph)))
    assert reason in refusal.value.detail
    with pytest.raises(TrainingRefusedError):
        run_onnx(graph, np.zeros((1, len(get_feature_names())), np.float32))


@pytest.mark.parametrize(
    "graph",
    [
        linear_onnx({"amount": 0.01}),
        random_onnx(1),
        plain(),
        doubled(3),
        by_features(),
        packed_sizes(2, 3),
        packed_sizes(6),
    ],
)
def test_a_plain_graph_passes(graph: bytes) -> None:
    check_graph(graph)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_file_is_refused_or_plain_and_never_a_traceback(at: int, byte: int) -> None:
    whole = bytearray(random_onnx(1, hidden=(4,)))
    whole[at] = byte
    for data in (bytes(whole), bytes(whole[:at])):
        with suppress(PackageRefusedError):
            check_graph(data)


def test_onnx_runtime_finds_no_file_even_where_a_graph_gets_past_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(4 * len(get_feature_names())))
    monkeypatch.setattr("scoring.models.onnx_model.check_graph", lambda _: None)
    graph = changed(lambda m: outside(m.graph.initializer[0]))
    with pytest.raises(PackageRefusedError, match="cannot load the graph"):
        OnnxModel(read_package(build_package(tiny_manifest(graph), graph)))
