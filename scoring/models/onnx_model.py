"""One model in ONNX Runtime: loaded with one thread, tried out before it may serve, the same bits for the same row.

A verdict that is computed again must not differ, so a row's score may not depend on the rows that stand next to it. That is
tried when the model is loaded; a graph whose last bits do depend on the batch is run in blocks of one fixed shape.
"""

import math
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.errors import PackageRefusedError
from contract.features import get_feature_names, get_schema
from contract.models import INPUT_NAME, NO_FOLDER, OUTPUT_NAME, Manifest
from contract.onnx_graph import check_graph
from contract.package import Package
from scoring.models.time_limit import TimeLimit
from scoring.ports import ModelFailedError

PROBES = 64
BLOCK_ROWS = 16
ROW_NOISE_MAX = 1e-6
"""Larger differences of one row's score between batches are no rounding noise."""
OUTPUT_TOLERANCE = 1e-6
"""How far outside [0, 1] rounding may carry a probability."""


_LIMITED = TimeLimit()


class OnnxModel:
    """A Model (scoring/ports.py) from a package. Immutable after construction.

    Raises PackageRefusedError(format | feature_schema | output) where the graph cannot serve.
    """

    def __init__(self, package: Package) -> None:
        self.manifest: Manifest = package.manifest
        self.sha256 = package.sha256
        self.ordinary = np.full(len(get_feature_names()), np.nan, dtype=np.float32)
        """Shape (F,), NaN where missing or unknown to the model."""
        self.ordinary[: package.manifest.features] = np.array(package.manifest.ordinary, dtype=np.float32)
        self._session = _open(package.onnx)
        self._block_rows = 0
        _check_form(self._session, self.manifest.features)
        self._try_out()

    @property
    def version(self) -> str:
        """The manifest's `model_version`."""
        return self.manifest.model_version

    def score(self, features: NDArray[np.float32], timeout_s: float = math.inf) -> NDArray[np.float32]:
        """Probabilities of fraud, shape (n,), for features of shape (n, F), as the port says.

        A model of an older schema reads the columns that it knows, which come first.
        """
        return _LIMITED(lambda options: self._score(features, options), timeout_s)

    def _score(self, features: NDArray[np.float32], options: Any) -> NDArray[np.float32]:
        features = np.ascontiguousarray(features[:, : self.manifest.features])
        scores = self._run_blocks(features, options) if self._block_rows else self._run(features, options)
        # One comparison finds NaN, infinities and what is no probability.
        if not ((scores >= -OUTPUT_TOLERANCE) & (scores <= 1 + OUTPUT_TOLERANCE)).all():
            raise ModelFailedError("a score is not a probability")
        clipped: NDArray[np.float32] = np.clip(scores, 0.0, 1.0)
        return clipped

    def _run(self, features: NDArray[np.float32], options: Any) -> NDArray[np.float32]:
        if not len(features):
            return np.empty(0, dtype=np.float32)
        try:
            output: NDArray[np.float32] = self._session.run([OUTPUT_NAME], {INPUT_NAME: features}, options)[0]
        except Exception as error:
            # ONNX Runtime raises several unrelated classes, some of them not exported; the text may hold paths only.
            raise ModelFailedError(f"{type(error).__name__} in ONNX Runtime") from error
        if output.shape != (len(features), 1) or output.dtype != np.float32:
            raise ModelFailedError(f"output of shape {output.shape}")
        return output[:, 0]

    def _run_blocks(self, features: NDArray[np.float32], options: Any) -> NDArray[np.float32]:
        if not len(features):
            return np.empty(0, dtype=np.float32)
        blocks = math.ceil(len(features) / self._block_rows)
        padded = np.zeros((blocks * self._block_rows, features.shape[1]), dtype=np.float32)
        padded[: len(features)] = features
        parts = [self._run(block, options) for block in padded.reshape(blocks, self._block_rows, -1)]
        return np.concatenate(parts)[: len(features)]

    def _try_out(self) -> None:
        """Warms up with ordinary, empty and extreme rows, and looks whether a row's score depends on its neighbours."""
        rows = make_probes(self.ordinary)
        try:
            together = self.score(rows)
            differently = [
                np.concatenate([self.score(rows[i : i + size]) for i in range(0, PROBES, size)]) for size in (1, 3)
            ]
        except ModelFailedError as error:
            raise PackageRefusedError("output", str(error)) from None
        noise = max(float(np.abs(together - other).max()) for other in differently)
        if noise > ROW_NOISE_MAX:
            raise PackageRefusedError("output", "a row's score depends on the other rows of its batch")
        if noise > 0:
            self._block_rows = BLOCK_ROWS


def make_probes(ordinary: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows to try a model with, shape (PROBES, F): all missing, all zero, ordinary, huge, and seeded random ones.

    `ordinary`: (F,) float32, NaN where a feature has no ordinary value.
    """
    generator = np.random.default_rng(7)
    usual = np.where(np.isnan(ordinary), 1.0, ordinary)
    rows = usual * generator.lognormal(0.0, 1.0, (PROBES, len(ordinary)))
    rows[generator.random(rows.shape) < 0.2] = np.nan
    rows[0], rows[1], rows[2], rows[3] = np.nan, 0.0, ordinary, 1e9
    buckets = np.array([feature.buckets for feature in get_schema()])
    categorical = buckets > 0
    rows[:, categorical] = generator.integers(0, buckets[categorical], (PROBES, int(categorical.sum())))
    rows[0] = np.nan
    return rows.astype(np.float32)


def _open(onnx: bytes) -> Any:
    check_graph(onnx)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a worker is one process per core; more threads only add latency
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry(*NO_FOLDER)
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises several unrelated classes, some of them not exported
        raise PackageRefusedError("format", f"ONNX Runtime cannot load the graph: {type(error).__name__}") from None


def _check_form(session: Any, features: int) -> None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [one.name for one in inputs] != [INPUT_NAME] or OUTPUT_NAME not in [one.name for one in outputs]:
        raise PackageRefusedError("format", f"the graph needs one input `{INPUT_NAME}` and an output `{OUTPUT_NAME}`")
    shape = inputs[0].shape
    if inputs[0].type != "tensor(float)" or len(shape) != 2 or isinstance(shape[0], int) or shape[1] != features:
        raise PackageRefusedError("feature_schema", f"the input must be float32 of shape (any, {features})")
