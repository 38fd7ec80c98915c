"""A model is tried out before it may serve: form, range, missing values, and a row's independence of its batch."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from contract.errors import PackageRefusedError
from contract.features import get_feature_names, get_schema_hash
from contract.package import build_package, read_package
from scoring.decision.decide import round_scores
from scoring.models.onnx_model import BLOCK_ROWS, OnnxModel
from scoring.ports import ModelFailedError
from support.tiny_model import graph, linear_onnx, model, random_onnx, tiny_manifest

WIDTH = len(get_feature_names())


def loaded(onnx: bytes) -> OnnxModel:
    return OnnxModel(read_package(build_package(tiny_manifest(onnx), onnx)))


def constant(value: float) -> bytes:
    """A graph whose score is `value` for every row."""
    column = np.zeros((WIDTH, 1), dtype=np.float32)
    return graph([(column, np.array([value], dtype=np.float32))], output="Identity")


def test_a_model_scores_rows_between_zero_and_one() -> None:
    found = loaded(linear_onnx({"amount": 0.01}))
    rows = np.full((2, WIDTH), np.nan, dtype=np.float32)
    rows[1, get_feature_names().index("amount")] = 300
    assert found.score(rows) == pytest.approx([0.0474259, 0.5])
    assert found.score(rows[:0]).shape == (0,)
    assert found.version == "tiny-1"


def test_a_model_of_schema_1_reads_the_beginning_of_todays_vectors_and_the_rest_moves_nothing() -> None:
    width = len(get_feature_names(1))
    column = np.zeros((width, 1), dtype=np.float32)
    column[get_feature_names().index("amount"), 0] = 0.01
    onnx = graph([(column, np.array([-3.0], dtype=np.float32))], features=width)
    manifest = tiny_manifest(onnx, feature_schema=get_schema_hash(1), features=width, ordinary=[0.0] * width)
    found = OnnxModel(read_package(build_package(manifest, onnx)))
    rows = np.zeros((2, WIDTH), dtype=np.float32)
    rows[:, get_feature_names().index("amount")] = 300
    rows[1, width:] = 1e6
    assert found.score(rows) == pytest.approx([0.5, 0.5])
    assert found.ordinary.shape == (WIDTH,)
    assert np.isnan(found.ordinary[width:]).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_rows_score_has_the_same_bits_in_a_batch_of_1_and_of_256(seed: int) -> None:
    found = loaded(random_onnx(seed, hidden=((64, 32), (33, 7), (128,))[seed % 3]))
    generator = np.random.default_rng(seed)
    rows = generator.lognormal(0, 1, (256, WIDTH)).astype(np.float32)
    rows[generator.random(rows.shape) < 0.2] = np.nan
    together = found.score(rows)
    assert together.std() > 0.01
    for size in (1, 3, 16, 100):
        parts = np.concatenate([found.score(rows[start : start + size]) for start in range(0, 256, size)])
        assert np.array_equal(round_scores(parts), round_scores(together))
        assert parts.tobytes() == together.tobytes()


def test_a_model_run_in_blocks_gives_every_row_its_score() -> None:
    found = loaded(random_onnx(1))
    rows = np.random.default_rng(2).lognormal(0, 1, (37, WIDTH)).astype(np.float32)
    whole = found.score(rows)
    found._block_rows = 16
    assert found.score(rows) == pytest.approx(whole, abs=1e-6)
    assert found.score(rows[:5]).tobytes() == found.score(rows)[:5].tobytes()
    assert found.score(rows[:0]).shape == (0,)


def over_the_batch(share: float = 1.0) -> bytes:
    """A graph that subtracts (a share of) the mean of the batch: a row's score depends on its neighbours."""
    weights = np.zeros((WIDTH, 1), dtype=np.float32)
    weights[0] = 0.01
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "share"], ["part"]),
        helper.make_node("Sub", ["sum", "part"], ["centred"]),
        helper.make_node("Sigmoid", ["centred"], ["score"]),
    ]
    constants = {"zero": np.zeros(1, np.float32), "weights": weights, "share": np.array([share], np.float32)}
    return model(nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()])


def without_imputation() -> bytes:
    """A graph that lets missing values through."""
    weights = numpy_helper.from_array(np.full((WIDTH, 1), 1e-12, dtype=np.float32), "weights")
    return model(
        [helper.make_node("MatMul", ["features", "weights"], ["y"]), helper.make_node("Sigmoid", ["y"], ["score"])],
        [weights],
    )


def of_another_width() -> bytes:
    return graph([(np.zeros((3, 1), np.float32), np.zeros(1, np.float32))], features=3)


def with_two_columns() -> bytes:
    return graph([(np.zeros((WIDTH, 2), np.float32), np.zeros(2, np.float32))])


def misnamed() -> bytes:
    made = linear_onnx({})
    return made.replace(b"score", b"scora")


@pytest.mark.parametrize(
    ("onnx", "reason"),
    [
        (b"no graph at all", "format"),
        (linear_onnx({})[:-200], "format"),
        (misnamed(), "format"),
        (of_another_width(), "feature_schema"),
        (constant(1.5), "output"),
        (constant(-0.1), "output"),
        (constant(float("nan")), "output"),
        (without_imputation(), "output"),
        (with_two_columns(), "output"),
        (over_the_batch(), "format"),
    ],
)
def test_a_graph_that_cannot_serve_is_refused_with_its_reason(onnx: bytes, reason: str) -> None:
    with pytest.raises(PackageRefusedError) as refusal:
        loaded(onnx)
    assert refusal.value.reason == reason


def test_a_row_s_score_may_not_depend_on_its_batch_whatever_let_the_graph_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scoring.models.onnx_model.check_graph", lambda _: None
    )  # the exporter makes no mean of a batch
    with pytest.raises(PackageRefusedError, match="depends on the other rows"):
        loaded(over_the_batch())


def test_a_model_that_turns_bad_on_some_row_says_so_instead_of_giving_a_number() -> None:
    found = loaded(linear_onnx({"amount": 0.01}))
    with pytest.raises(ModelFailedError):
        found.score(np.zeros((2, WIDTH - 1), dtype=np.float32))


def test_a_model_whose_last_bits_depend_on_the_batch_runs_in_blocks_of_one_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "scoring.models.onnx_model.check_graph", lambda _: None
    )  # the exporter makes no mean of a batch
    assert loaded(over_the_batch(1e-12))._block_rows == BLOCK_ROWS
    assert loaded(over_the_batch(0.0))._block_rows == 0
