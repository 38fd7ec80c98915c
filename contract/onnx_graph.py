"""Whether an ONNX file is a graph that our exporter can make, read before ONNX Runtime sees a byte of it. Pure.

A model package is code. ONNX Runtime reads files that a graph names (external data), runs loops of any length and takes the memory
that a graph asks for, so a file from a topic must be shown to do none of it. Everything is refused that is not listed here: fields,
operators, attributes, types. A protobuf of a few known messages takes a page to read; the onnx package would be a dependency of every
worker, and would have to be trusted with the same bytes.

Bounds: a graph has at most NODES_MAX nodes, and no tensor is wider than WIDTH_MAX beyond the rows of a batch. So one node's result
has at most max(rows, WIDTH_MAX)^2 numbers.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from contract.errors import PackageRefusedError
from contract.features import get_feature_names

NODES_MAX = 256
"""The exporter makes about 30."""
WIDTH_MAX = 4096
"""The exporter's widest tensor has about 1,000 rows: features, steps, patterns of missing values, categories."""
FLOAT, INT64 = 1, 7
ITEM_BYTES = {FLOAT: 4, INT64: 8}
ATTRIBUTES: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("Abs", "Add", "Clip", "Equal", "Identity", "IsNaN", "Log", "MatMul", "Max", "Min", "Mul", "Relu", "Sigmoid", "Sign", "Sub", "Where"),
        frozenset[str](),
    ),
    "Cast": frozenset({"to"}),
    "Concat": frozenset({"axis"}),
    "Gather": frozenset({"axis"}),
    "Gemm": frozenset({"alpha", "beta", "transA", "transB"}),
    "Transpose": frozenset({"perm"}),
}  # fmt: skip
"""Operators that may stand in a graph, with their attributes: what the exporter makes, and Gemm, Clip and Identity, which say the same."""
DOMAINS = frozenset({"", "ai.onnx"})
IMPORTED = DOMAINS | {"ai.onnx.ml"}
"""The exporter names one more set of operators, and uses none of it."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_Value = int | memoryview
# Field numbers of onnx.proto, with their wire types.
MODEL = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES}
GRAPH = {1: BYTES, 2: BYTES, 5: BYTES, 10: BYTES, 11: BYTES, 12: BYTES}
NODE = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES, 6: BYTES, 7: BYTES}
ATTRIBUTE = {1: BYTES, 2: FIXED32, 3: VARINT, 8: BYTES, 20: VARINT}
TENSOR = {1: BYTES, 2: VARINT, 8: BYTES, 9: BYTES}
OPERATOR_SET = {1: BYTES, 2: VARINT}
NAMES = {
    "file": {14: "metadata", 20: "training information", 25: "functions"},
    "graph": {13: "value information", 14: "quantisation", 15: "sparse tensors"},
    "attribute": {4: "text", 5: "a tensor", 6: "a subgraph", 9: "texts", 10: "tensors", 11: "subgraphs", 22: "a sparse tensor"},
    "tensor": {4: "unpacked numbers", 6: "text", 13: "external data", 14: "external data"},
}  # fmt: skip
"""What the fields hold that people meet most, for the refusal."""


class _Tensor(NamedTuple):
    width: int
    """At least as large as every dimension but the rows of a batch."""
    indices: bool
    """Whether it is a constant list of integers."""


def check_graph(onnx: bytes) -> None:
    """Raises PackageRefusedError(format) for whatever is not a plain graph within the bounds."""
    try:
        _check_model(memoryview(onnx))
    except (IndexError, UnicodeDecodeError):
        raise _refused("the file ends in the middle, or is no ONNX file") from None


def _refused(detail: str) -> PackageRefusedError:
    return PackageRefusedError("format", f"ONNX graph: {detail}")


def _check_model(data: memoryview) -> None:
    graphs = []
    for number, value in _fields(data, MODEL, "file"):
        if number == 7:
            graphs.append(value)
        if number == 8:
            _check_operator_set(_bytes(value))
    if len(graphs) != 1:
        raise _refused(f"{len(graphs)} graphs, one is wanted")
    _check_parts(_bytes(graphs[0]))


def _check_operator_set(data: memoryview) -> None:
    for number, value in _fields(data, OPERATOR_SET, "operator set"):
        if number == 1 and _text(value) not in IMPORTED:
            raise _refused(f"operators of the domain {_text(value)[:64]!r}")


def _check_parts(data: memoryview) -> None:
    """Nodes come after what they read, as ONNX demands; initializers may stand anywhere."""
    tensors: dict[str, _Tensor] = {"": _Tensor(0, indices=False)}
    nodes: list[memoryview] = []
    for number, value in _fields(data, GRAPH, "graph"):
        if number == 1:
            nodes.append(_bytes(value))
        elif number == 5:
            _add(tensors, *_initializer(_bytes(value)))
        elif number == 11:
            _add(tensors, _value_name(_bytes(value)), _Tensor(len(get_feature_names()), indices=False))
    if len(nodes) > NODES_MAX:
        raise _refused(f"{len(nodes)} nodes, at most {NODES_MAX}")
    for node in nodes:
        _check_node(node, tensors)


def _add(tensors: dict[str, _Tensor], name: str, tensor: _Tensor) -> None:
    if name in tensors:
        raise _refused(f"two tensors are called {name[:64]!r}")
    if tensor.width > WIDTH_MAX:
        raise _refused(f"tensor {name[:64]!r} may be {tensor.width} wide, at most {WIDTH_MAX}")
    tensors[name] = tensor


def _value_name(data: memoryview) -> str:
    # The type of an input is ONNX Runtime's to check: it says nothing but which arrays may come.
    return next((_text(value) for number, _, value in _read(data) if number == 1), "")


def _initializer(data: memoryview) -> tuple[str, _Tensor]:
    dims: list[int] = []
    found: dict[int, _Value] = {}
    for number, value in _fields(data, TENSOR, "tensor", repeated=frozenset({1})):
        if number == 1:
            dims += [value] if isinstance(value, int) else _packed(value)
        else:
            found[number] = value
    kind, name = found.get(2, 0), _text(found.get(8, memoryview(b"")))
    if kind not in ITEM_BYTES:
        raise _refused(f"tensor {name[:64]!r} holds neither float32 nor int64 numbers")
    if len(dims) > 2 or any(not 0 < size <= WIDTH_MAX for size in dims):
        raise _refused(f"tensor {name[:64]!r}: at most two dimensions of 1 to {WIDTH_MAX}")
    if len(_bytes(found.get(9, memoryview(b"")))) != math.prod(dims) * ITEM_BYTES[int(kind)]:
        raise _refused(f"tensor {name[:64]!r} does not hold as many numbers as it says")
    return name, _Tensor(max(dims, default=1), indices=kind == INT64 and len(dims) <= 1)


def _check_node(data: memoryview, tensors: dict[str, _Tensor]) -> None:
    fields = list(_fields(data, NODE, "node"))
    inputs, outputs, operators, domains = (
        [_text(value) for number, value in fields if number == wanted] for wanted in (1, 2, 4, 7)
    )
    operator = operators[-1] if operators else ""
    if operator not in ATTRIBUTES or not DOMAINS.issuperset(domains):
        raise _refused(f"operator {'.'.join([*domains, operator])[:64]!r} is none of those that the exporter makes")
    for number, value in fields:
        if number == 5:
            _check_attribute(_bytes(value), operator)
    _check_tensors(operator, inputs, outputs, tensors)


def _check_tensors(operator: str, inputs: list[str], outputs: list[str], tensors: dict[str, _Tensor]) -> None:
    unknown = [name for name in inputs if name not in tensors]
    if unknown:
        raise _refused(f"{operator} reads {unknown[0][:64]!r}, which comes from nowhere")
    if operator == "Gather" and not (len(inputs) == 2 and tensors[inputs[1]].indices):
        raise _refused("Gather takes a constant list of rows")
    widths = [tensors[name].width for name in inputs]
    for name in outputs:
        _add(tensors, name, _Tensor(sum(widths) if operator == "Concat" else max(widths, default=1), indices=False))


def _check_attribute(data: memoryview, operator: str) -> None:
    name, to = "", FLOAT
    for number, value in _fields(data, ATTRIBUTE, "attribute", repeated=frozenset({8})):
        if number == 1:
            name = _text(value)
        if number == 3 and isinstance(value, int):
            to = value
    if name not in ATTRIBUTES[operator]:
        raise _refused(f"attribute {name[:64]!r} of {operator}")
    if operator == "Cast" and to not in ITEM_BYTES:
        raise _refused("Cast to neither float32 nor int64")


def _fields(
    data: memoryview, known: dict[int, int], part: str, repeated: frozenset[int] = frozenset()
) -> Iterator[tuple[int, _Value]]:
    """(number, value) of a message's fields; raises for one that is not known, or of another wire type.

    `repeated` numbers come packed, or one by one.
    """
    for number, wire, value in _read(data):
        if known.get(number) != wire and not (number in repeated and wire == VARINT):
            what = NAMES.get(part, {}).get(number, f"field {number}")
            raise _refused(
                f"{what} in its {part}; a model holds everything itself and nothing but numbers and plain operators"
            )
        yield number, value


def _read(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = _varint(data, at)
        elif wire in {FIXED32, FIXED64}:
            size = 4 if wire == FIXED32 else 8
        else:
            raise _refused("a field of a kind that ONNX files do not have")
        if size > len(data) - at:
            raise IndexError
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _refused("a number of more than 64 bits")


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _bytes(value: _Value) -> memoryview:
    return memoryview(b"") if isinstance(value, int) else value


def _text(value: _Value) -> str:
    return bytes(_bytes(value)).decode("utf-8")
