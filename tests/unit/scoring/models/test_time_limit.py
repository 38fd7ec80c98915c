"""A time limit for the model: a run that is too long is stopped, others never notice."""

import numpy as np
import pytest

from contract.features import get_feature_names
from contract.package import build_package, read_package
from scoring.models.onnx_model import ModelFailedError, OnnxModel
from scoring.models.time_limit import LateError, TimeLimit
from support.tiny_model import slow_onnx, tiny_manifest

ONNX = slow_onnx(10**9)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr("scoring.models.onnx_model.check_graph", lambda _: None)  # a graph that got past the check
    MODEL = OnnxModel(read_package(build_package(tiny_manifest(ONNX), ONNX)))
QUICK, SLOW = (
    np.zeros((1, len(get_feature_names())), dtype=np.float32),
    np.zeros((1, len(get_feature_names())), dtype=np.float32),
)
QUICK[0, 0], SLOW[0, 0] = 500, 600


def test_a_run_in_time_gives_its_result() -> None:
    limited = TimeLimit()
    assert limited(lambda options: MODEL.score(QUICK, options), 30) == pytest.approx([0.5])


def test_a_run_that_is_too_long_is_stopped_and_the_next_one_is_not() -> None:
    limited = TimeLimit()
    for _ in range(2):
        with pytest.raises(LateError):
            limited(lambda options: MODEL.score(SLOW, options), 0.03)
        assert limited(lambda options: MODEL.score(QUICK, options), 30) == pytest.approx([0.5])


def test_no_time_left_is_late_without_a_run() -> None:
    with pytest.raises(LateError):
        TimeLimit()(lambda _options: pytest.fail("was run"), 0.0)


def test_a_failure_in_time_stays_a_failure() -> None:
    with pytest.raises(ModelFailedError):
        TimeLimit()(lambda options: MODEL.score(QUICK[:, :3], options), 30)
