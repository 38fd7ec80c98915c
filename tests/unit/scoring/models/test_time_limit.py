"""A time limit for the model: a run that is too long is stopped, others never notice."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from contract.features import get_feature_names
from contract.package import build_package, read_package
from scoring.models.onnx_model import OnnxModel
from scoring.models.time_limit import TimeLimit
from scoring.ports import LateError, ModelFailedError
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
    assert MODEL.score(QUICK, 30) == pytest.approx([0.5])


def test_a_run_that_is_too_long_is_stopped_and_the_next_one_is_not() -> None:
    for _ in range(2):
        with pytest.raises(LateError):
            MODEL.score(SLOW, 0.03)
        assert MODEL.score(QUICK, 30) == pytest.approx([0.5])


def test_a_run_of_another_thread_leaves_a_limit_as_it_is() -> None:
    limited = TimeLimit()

    def run_until_stopped(options: Any) -> bool:
        other = threading.Thread(target=limited, args=(lambda _options: None, 60))
        other.start()
        other.join()
        deadline_s = time.monotonic() + 30
        while not options.terminate and time.monotonic() < deadline_s:
            time.sleep(0.001)
        return bool(options.terminate)

    assert limited(run_until_stopped, 0.01)


def test_no_time_left_is_late_without_a_run() -> None:
    with pytest.raises(LateError):
        TimeLimit()(lambda _options: pytest.fail("was run"), 0.0)


def test_a_failure_in_time_stays_a_failure() -> None:
    with pytest.raises(ModelFailedError):
        MODEL.score(QUICK[:, :3], 30)
