"""How the network learns: weights of the classes, epochs, early stop, and the calibrated model that is exported.

From the beginning or from the weights of an earlier network (a warm start); in both cases the weights that are kept are the best
on the validation slice, in a warm start those it began with among them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from contract.statistics.ranking import average_precision
from trainer.examples.examples import Examples
from trainer.model import network
from trainer.model.calibrate import Platt
from trainer.model.oversample import oversample
from trainer.model.plan import Plan
from trainer.model.preprocessing import Constants, fit_constants
from trainer.model.snapshot import Snapshot
from trainer.model.steps import Step, build_plain_step, build_private_step
from trainer.model.tensorflow import keras, tf

BATCH_MIN, BATCH_MAX = 64, 512
STEPS_WANTED = 64
"""Steps per epoch below which the batch shrinks: a small history still needs enough steps to learn from."""
LEARNING_RATE = 1e-3
LEARNING_RATE_WARM = 3e-4
"""A network that serves already is corrected, not made again."""
WEIGHT_DECAY = 1e-4
PATIENCE_EPOCHS = 4
LOGIT_MAX = 30.0
SCORED_ROWS = 16_384
Scorer = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Progress = Callable[[int, float], None]
ROWS_PER_EPOCH_MAX = 400_000
"""Genuine transactions beyond this are drawn again for every epoch; frauds are always all used."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network that gives logits, not yet calibrated."""

    network: keras.Model
    constants: Constants
    logits: Scorer
    """Higher is more suspicious."""
    epochs: int
    """The epoch whose weights were kept, from 1; 0: those of the warm start."""
    epochs_run: int
    steps: int
    """Over all epochs that were run: what a privacy account counts."""
    sampling_rate: float
    """Share of the examples in one step."""
    seconds: float
    cut_short: bool = False
    """Whether it ended because plan.seconds_max was over."""

    def take_snapshot(self) -> Snapshot:
        """What a later training may start from."""
        return Snapshot(self.constants, self.network.get_weights())


@dataclass(slots=True)
class _Best:
    """The weights to keep."""

    reached: float
    epoch: int
    weights: list[NDArray[np.float32]]


def fit(
    train: Examples,
    validation: Examples,
    plan: Plan,
    progress: Progress | None = None,
    start: Snapshot | None = None,
) -> Fitted:
    """Trains until the average precision on `validation` no longer grows; same examples, seed and start, same weights.

    `progress` is told each epoch's number and average precision. Takes at most plan.seconds_max and one epoch, and ends with the
    best weights so far. Raises TrainingRefusedError for a start that does not fit the network.
    """
    started = time.monotonic()
    use_threads(plan.threads)
    tf.get_logger().setLevel("ERROR")  # it warns of new models as if they were one that is compiled again and again
    tf.config.experimental.enable_op_determinism()
    keras.backend.clear_session()  # layer names count up in a process, and they are part of the exported file
    keras.utils.set_random_seed(plan.seed)
    if plan.imbalance == "smote":
        train = oversample(train, plan.seed)
    net, constants = _network(train, plan, start)
    step, logits = _step(net, plan, train, warm=start is not None), build_scorer(net)
    # In a private training nobody may be able to draw the same again.
    random = np.random.default_rng(plan.seed if plan.privacy is None else None)
    best = _Best(-1.0 if start is None else _reached(logits, validation), 0, net.get_weights())
    steps = epoch = 0
    cut_short = False
    while epoch < plan.epochs_max and epoch - best.epoch < PATIENCE_EPOCHS:
        epoch += 1
        steps += _run_epoch(step, train, plan, random, started + plan.seconds_max)
        reached = _reached(logits, validation)
        if progress is not None:
            progress(epoch, reached)
        if reached > best.reached:
            best = _Best(reached, epoch, net.get_weights())
        if time.monotonic() - started > plan.seconds_max:
            cut_short = True
            break
    net.set_weights(best.weights)
    rate = choose_batch_size(len(train)) / len(train)
    return Fitted(net, constants, logits, best.epoch, epoch, steps, rate, time.monotonic() - started, cut_short)


def build_calibrated(fitted: Fitted, platt: Platt) -> keras.Model:
    """The model that is exported: raw features (n, F) to probabilities (n, 1), Platt scaling inside."""
    logit = fitted.network.output
    limited = keras.ops.clip(platt.slope * logit + platt.offset, -LOGIT_MAX, LOGIT_MAX)
    return keras.Model(fitted.network.input, keras.ops.sigmoid(limited))


def build_scorer(model: keras.Model) -> Scorer:
    """A function from features (n, F) to the model's output, shape (n,), in bounded memory whatever n; follows its weights."""
    width = model.input_shape[1]
    run = tf.function(
        lambda features: model(features, training=False),
        input_signature=[tf.TensorSpec((None, width), tf.float32)],
        autograph=False,
    )

    def score(features: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = [
            run(tf.constant(np.ascontiguousarray(features[start : start + SCORED_ROWS]))).numpy()[:, 0]
            for start in range(0, len(features), SCORED_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    return score


def compute_fraud_weight(fraud: NDArray[np.bool_]) -> float:
    """Weight of a fraud against a genuine transaction: the square root of their ratio, in [1, 20].

    The full ratio lets single frauds dominate a batch; calibration afterwards undoes what the weight does to the scale.

    `fraud`: (n,), with one fraud at least.
    """
    frauds = int(fraud.sum())
    return float(np.clip(np.sqrt((len(fraud) - frauds) / frauds), 1.0, 20.0))


def choose_batch_size(rows: int) -> int:
    """Examples in one step of training, for `rows` examples an epoch."""
    return int(np.clip(rows // STEPS_WANTED, BATCH_MIN, BATCH_MAX))


def choose_learning_rate(*, warm: bool) -> float:
    """Of AdamW."""
    return LEARNING_RATE_WARM if warm else LEARNING_RATE


def choose_class_weight(plan: Plan, fraud: NDArray[np.bool_]) -> float:
    """What a fraud counts against a genuine transaction; focal loss and synthetic frauds do without.

    `fraud`: (n,).
    """
    return compute_fraud_weight(fraud) if plan.imbalance == "class_weights" else 1.0


def _network(train: Examples, plan: Plan, start: Snapshot | None) -> tuple[keras.Model, Constants]:
    width = train.features.shape[1]
    if start is None:
        # Steps come from labels, which a private training shows to nothing but its noisy gradients.
        labels = None if plan.privacy is not None else train.fraud
        constants = fit_constants(train.features, labels, train.weight, steps_max=plan.steps_max)
        return network.build(constants, width), constants
    try:
        net = network.build(start.constants, width)
        net.set_weights(start.weights)
    except (ValueError, TypeError, IndexError) as error:
        raise TrainingRefusedError(f"the network to learn on from has another form: {type(error).__name__}") from None
    return net, start.constants


def _step(net: keras.Model, plan: Plan, train: Examples, *, warm: bool) -> Step:
    optimizer = keras.optimizers.AdamW(choose_learning_rate(warm=warm), weight_decay=WEIGHT_DECAY)
    optimizer.build(net.trainable_variables)
    gamma = plan.focal_gamma if plan.imbalance == "focal" else 0.0
    if plan.privacy is not None:
        return build_private_step(net, optimizer, plan.privacy, gamma, choose_batch_size(len(train)))
    return build_plain_step(net, optimizer, gamma)


def _reached(logits: Scorer, validation: Examples) -> float:
    scored = logits(validation.features)
    if not np.isfinite(scored).all():
        return 0.0  # weights that broke are never the best
    return average_precision(scored, validation.fraud, validation.weight)


def _run_epoch(step: Step, train: Examples, plan: Plan, random: np.random.Generator, until_s: float) -> int:
    """Gives the number of steps done; ends early at the monotonic time `until_s`."""
    weight, weights, steps = choose_class_weight(plan, train.fraud), train.weights, 0
    for batch in _batches(train.fraud, random, sampled=plan.privacy is not None):
        fraud = train.fraud[batch].astype(np.float32)
        each = (weights[batch] * (1.0 + (weight - 1.0) * fraud)).astype(np.float32)
        step(np.asarray(train.features[batch]), fraud, each)
        steps += 1
        if time.monotonic() > until_s:
            break
    return steps


def _batches(fraud: NDArray[np.bool_], random: np.random.Generator, *, sampled: bool) -> Iterator[NDArray[np.int64]]:
    """Rows of each step of an epoch, ascending, since a memory map is read in order.

    `sampled`: every example comes with the same probability in every step, as accounting for privacy supposes; else every
    example comes once.
    """
    if sampled:
        rate = choose_batch_size(len(fraud)) / len(fraud)
        for _ in range(round(1 / rate)):
            yield np.flatnonzero(random.random(len(fraud)) < rate)
        return
    rows = random.permutation(_epoch_rows(fraud, random))
    size = choose_batch_size(len(rows))
    for start in range(0, len(rows), size):
        yield np.sort(rows[start : start + size])


def _epoch_rows(fraud: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.int64]:
    if len(fraud) <= ROWS_PER_EPOCH_MAX:
        return np.arange(len(fraud))
    genuine = np.flatnonzero(~fraud)
    drawn = random.choice(genuine, min(ROWS_PER_EPOCH_MAX, len(genuine)), replace=False)
    return np.concatenate((np.flatnonzero(fraud), drawn))


def use_threads(threads: int) -> None:
    """Only possible before TensorFlow's first operation in this process; later calls keep what it started with."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        return
