"""How the network learns: weights of the classes, epochs, early stop, and the calibrated model that is exported."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer import network
from trainer.calibrate import Platt
from trainer.constants import learn
from trainer.evaluate import average_precision
from trainer.examples import Examples
from trainer.plan import Plan

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
BATCH_MIN, BATCH_MAX = 64, 512
STEPS_WANTED = 64
"""Steps per epoch below which the batch shrinks: a small history still needs enough steps to learn from."""
PATIENCE_EPOCHS = 4
LOGIT_MAX = 30.0
SCORED_ROWS = 16_384
Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
ROWS_PER_EPOCH_MAX = 400_000
"""Genuine transactions beyond this are drawn anew for every epoch; frauds are always all used."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network that gives logits, not yet calibrated."""

    network: keras.Model
    logits: Scorer
    """Higher is more suspicious."""
    epochs: int
    """The epoch whose weights were kept, from 1."""
    seconds: float


def fit(
    train: Examples, validation: Examples, plan: Plan, progress: Callable[[int, float], None] | None = None
) -> Fitted:
    """Trains until the average precision on `validation` no longer grows; same examples and seed, same weights.

    `progress` is told each epoch's number and average precision.
    """
    started = time.monotonic()
    _use_threads(plan.threads)
    tf.get_logger().setLevel("ERROR")  # it warns of new models as if they were one that is compiled again and again
    tf.config.experimental.enable_op_determinism()
    keras.backend.clear_session()  # layer names count up in a process, and they are part of the exported file
    keras.utils.set_random_seed(plan.seed)
    net = network.build(learn(train.features, train.fraud), train.features.shape[1])
    step, logits = _step(net), scorer(net)
    random = np.random.default_rng(plan.seed)
    weight = fraud_weight(train.fraud)
    best, best_epoch, best_weights = -1.0, 0, net.get_weights()
    for epoch in range(1, plan.epochs_max + 1):
        _run_epoch(step, train, weight, random)
        reached = average_precision(logits(validation.features), validation.fraud)
        if progress is not None:
            progress(epoch, reached)
        if reached > best:
            best, best_epoch, best_weights = reached, epoch, net.get_weights()
        elif epoch - best_epoch >= PATIENCE_EPOCHS:
            break
    net.set_weights(best_weights)
    return Fitted(net, logits, best_epoch, time.monotonic() - started)


def calibrated(fitted: Fitted, platt: Platt) -> keras.Model:
    """The model that is exported: raw features (n, F) to probabilities (n, 1), Platt scaling inside."""
    logit = fitted.network.output
    limited = keras.ops.clip(platt.slope * logit + platt.offset, -LOGIT_MAX, LOGIT_MAX)
    return keras.Model(fitted.network.input, keras.ops.sigmoid(limited))


def scorer(model: keras.Model) -> Scorer:
    """A function from features (n, F) to the model's output, shape (n,), in bounded memory whatever n; follows its weights."""
    width = model.input_shape[1]
    run = tf.function(
        lambda features: model(features, training=False), input_signature=[tf.TensorSpec((None, width), tf.float32)]
    )

    def score(features: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = [
            run(tf.constant(np.ascontiguousarray(features[start : start + SCORED_ROWS]))).numpy()[:, 0]
            for start in range(0, len(features), SCORED_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    return score


def fraud_weight(fraud: NDArray[np.bool_]) -> float:
    """Weight of a fraud against a genuine transaction: the square root of their ratio, in [1, 20].

    The full ratio lets single frauds dominate a batch; calibration afterwards undoes what the weight does to the scale.
    """
    frauds = int(fraud.sum())
    return float(np.clip(np.sqrt((len(fraud) - frauds) / frauds), 1.0, 20.0))


def batch_size(rows: int) -> int:
    """Examples in one step of training, for `rows` examples an epoch."""
    return int(np.clip(rows // STEPS_WANTED, BATCH_MIN, BATCH_MAX))


def _step(network: keras.Model) -> Callable[..., None]:
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer.build(network.trainable_variables)

    def step(features: tf.Tensor, fraud: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = network(features, training=True)[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(fraud, logits)
            loss = tf.reduce_sum(weight * losses) / tf.reduce_sum(weight)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    width, number = network.input_shape[1], tf.TensorSpec((None,), tf.float32)
    compiled: Callable[..., None] = tf.function(
        step, input_signature=[tf.TensorSpec((None, width), tf.float32), number, number]
    )
    return compiled


def _run_epoch(step: Callable[..., None], train: Examples, weight: float, random: np.random.Generator) -> None:
    rows = random.permutation(_epoch_rows(train.fraud, random))
    size = batch_size(len(rows))
    for start in range(0, len(rows), size):
        batch = np.sort(rows[start : start + size])  # ascending rows read a memory map in order
        fraud = train.fraud[batch].astype(np.float32)
        step(tf.constant(train.features[batch]), tf.constant(fraud), tf.constant(1.0 + (weight - 1.0) * fraud))


def _epoch_rows(fraud: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    if len(fraud) <= ROWS_PER_EPOCH_MAX:
        return np.arange(len(fraud))
    genuine = np.flatnonzero(~fraud)
    drawn = random.choice(genuine, min(ROWS_PER_EPOCH_MAX, len(genuine)), replace=False)
    return np.concatenate((np.flatnonzero(fraud), drawn))


def _use_threads(threads: int) -> None:
    """Only possible before TensorFlow's first operation in this process; later calls keep what it started with."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        return
