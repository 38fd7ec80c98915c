"""Scores of an ONNX file, computed as a worker computes them. Imports no TensorFlow."""

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.errors import PackageRefusedError, TrainingRefusedError
from contract.models import INPUT_NAME, NO_FOLDER, OUTPUT_NAME, SCORE_DIGITS
from contract.onnx_graph import check_graph


def run_onnx(onnx: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores of the ONNX file for features (n, F), shape (n,), as a worker computes them (one thread).

    A model of an older feature schema reads the columns that it knows, which come first. Raises TrainingRefusedError where ONNX Runtime cannot run the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry(*NO_FOLDER)
    try:
        check_graph(onnx)
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        known = features[:, : session.get_inputs()[0].shape[1]]
        (score,) = session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(known)})
    except PackageRefusedError as error:
        raise TrainingRefusedError(f"ONNX Runtime does not run the exported model: {error.detail}") from None
    except Exception as error:  # ONNX Runtime raises types of its own that derive from nothing but Exception
        raise TrainingRefusedError(f"ONNX Runtime does not run the exported model: {type(error).__name__}") from error
    return np.asarray(score[:, 0], dtype=np.float32)


def compute_served_scores(onnx: bytes, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The scores that a worker compares with thresholds and publishes: those of run_onnx, rounded.

    From features (n, F), NaN where one is missing, to scores (n,) within [0, 1].
    """
    exact: NDArray[np.float64] = run_onnx(onnx, features).astype(np.float64)
    return exact.round(SCORE_DIGITS)
