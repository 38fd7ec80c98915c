"""What each part of the model brings: `python -m bench.handbook --ablation`. See docs/ablation.md.

Each variant differs from the model as it is in one thing and is tried on every fold. The latencies are ONNX Runtime's with one thread, as in a worker.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bench.handbook import models
from bench.handbook.models import Learned
from bench.table import Row
from contract.models import INPUT_NAME, OUTPUT_NAME
from trainer.examples.examples import Examples
from trainer.model.plan import Plan

MEMBERS = 3
ROWS_TIMED = (1, 256)
REPEATS = 300
SCORE_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that is otherwise."""

    name: str
    history_days: int | None
    make: Callable[[Examples, Plan], Learned]


def _with_steps(steps_max: int) -> Callable[[Examples, Plan], Learned]:
    return lambda examples, plan: models.learn_network(examples, replace(plan, steps_max=steps_max))


def _ensemble(examples: Examples, plan: Plan) -> Learned:
    """The mean logit of networks that differ in their seed."""
    members = [models.learn_network(examples, replace(plan, seed=plan.seed + number)) for number in range(MEMBERS)]

    def score(features: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = np.clip([member.score(features) for member in members], SCORE_MIN, 1 - SCORE_MIN)
        return np.asarray(np.log(scores / (1 - scores)).mean(axis=0), dtype=np.float64)

    return Learned(score, sum(member.seconds for member in members))


VARIANTS = (
    Variant("as it is, 7 days", 7, models.learn_network),
    Variant("no steps, 7 days", 7, _with_steps(0)),
    Variant("64 steps, 7 days", 7, _with_steps(64)),
    Variant("384 steps, 7 days", 7, _with_steps(384)),
    Variant(f"{MEMBERS} networks, 7 days", 7, _ensemble),
    Variant("as it is, 60 days", 60, models.learn_network),
)


def measure_latencies(onnx: bytes, features: NDArray[np.float32]) -> list[Row]:
    """Of the graph alone, medians.

    `features`: (n, F), n at least the greatest of ROWS_TIMED; times are in microseconds.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    found = []
    for rows in ROWS_TIMED:
        given = {INPUT_NAME: np.ascontiguousarray(features[:rows])}
        taken = [_timed(session, given) for _ in range(REPEATS)]
        found.append(Row(f"ONNX Runtime, {rows} rows at once", 1e6 * median(taken), "us"))
    return found


def _timed(session: onnxruntime.InferenceSession, given: dict[str, NDArray[np.float32]]) -> float:
    started = time.perf_counter()
    session.run([OUTPUT_NAME], given)
    return time.perf_counter() - started
