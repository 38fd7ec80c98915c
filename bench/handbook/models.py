"""The two models that are compared: the network as `tillguard train` makes it, and XGBoost on the same examples.

Each learns from examples in time order and gives scores for features; the network's are those of its exported ONNX file.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import xgboost
from numpy.typing import NDArray

from bench.handbook.data import RETAILER
from contract.clock import from_epoch_ms
from contract.package import read_package
from contract.settings import CostSettings
from contract.windows import DAY_MS
from trainer.examples import reservoir
from trainer.examples.examples import Examples, Split, get_data_range
from trainer.learning import training
from trainer.model import snapshot
from trainer.model.plan import Plan
from trainer.model.run_onnx import compute_served_scores
from trainer.model.snapshot import Snapshot

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
VALIDATION_DAYS, VALIDATION_DAYS_SHORT, SHORT_DAYS = 7, 1, 21
"""The newest days of what is learned from stop the training and calibrate; one day of a history shorter than SHORT_DAYS."""
REPLAYED = 40_000
"""Older examples next to a new week, as the setting `replay_examples`."""
ROUNDS = 150
XGBOOST = {
    "objective": "binary:logistic", "tree_method": "hist", "max_depth": 5, "eta": 0.08, "subsample": 0.8,
    "colsample_bytree": 0.6, "min_child_weight": 3, "reg_lambda": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Learned:
    """A trained model."""

    score: Scorer
    seconds: float
    """Wall time of training, export included."""
    snapshot: Snapshot | None = None
    """What the next week may continue from; of a network alone, as is `onnx`."""
    onnx: bytes | None = None


def learn_network(examples: Examples, plan: Plan) -> Learned:
    """From the beginning."""
    train, validation = _parts(examples)
    return _made(train, validation, plan, None)


def learn_further(
    examples: Examples, kind: NDArray[np.int64], known_before: int, plan: Plan, before: Learned
) -> Learned:
    """On from `before`, a network which knew the first `known_before` of `examples`: the rest, and of the old ones a few that are replayed.

    `kind` is the fraud kind of each example, reservoir.GENUINE where it is none.

    The shape of `kind` is (n,), n the number of `examples`.
    """
    newest = examples.select(slice(known_before, len(examples)))
    train, validation = _parts(newest)
    replayed = reservoir.draw(kind[:known_before], REPLAYED, np.random.default_rng(plan.seed))
    rows = np.concatenate((replayed, np.arange(known_before, known_before + len(train))))
    return _made(examples.select(rows), validation, plan, before.snapshot)


def learn_xgboost(examples: Examples, seed: int, threads: int) -> Learned:
    """Gradient-boosted trees on everything, with settings near the defaults."""
    started = time.monotonic()
    varied = _varied(examples.features)
    matrix = xgboost.QuantileDMatrix(examples.features[:, varied], label=examples.fraud)
    trees = xgboost.train(XGBOOST | {"seed": seed, "nthread": threads}, matrix, ROUNDS)
    return Learned(
        lambda features: trees.predict(xgboost.DMatrix(features[:, varied])).astype(np.float64),
        time.monotonic() - started,
    )


def _made(train: Examples, validation: Examples, plan: Plan, start: Snapshot | None) -> Learned:
    started = time.monotonic()
    newest = int(validation.event_time_ms[-1])
    trained = training.make(
        # Nothing is kept back to be measured on: that is what the test week is for.
        training.Material(Split(train, validation, validation), get_data_range(train), start=start),
        training.Deployment(RETAILER, CostSettings()),
        plan=plan,
        now=from_epoch_ms(newest) + timedelta(days=7),
    )
    seconds = time.monotonic() - started
    onnx = read_package(trained.package).onnx
    return Learned(
        lambda features: compute_served_scores(onnx, features),
        seconds,
        snapshot.load(trained.attachments[snapshot.ATTACHMENT]),
        onnx,
    )


def _parts(examples: Examples) -> tuple[Examples, Examples]:
    """What is learned from, and its newest days, which only stop and calibrate."""
    last_day = int(examples.event_time_ms[-1]) // DAY_MS
    days = last_day - int(examples.event_time_ms[0]) // DAY_MS + 1
    newest = VALIDATION_DAYS if days >= SHORT_DAYS else VALIDATION_DAYS_SHORT
    first = int(np.searchsorted(examples.event_time_ms, (last_day + 1 - newest) * DAY_MS))
    return examples.select(slice(0, first)), examples.select(slice(first, len(examples)))


def _varied(features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Columns that hold more than one value in some rows spread over all: the others cost time only."""
    rows = np.asarray(features[:: max(1, len(features) // 50_000)])
    first = rows[0]
    same = (rows == first) | (np.isnan(rows) & np.isnan(first))
    return np.flatnonzero(~same.all(axis=0))
