"""What a retailer does with the common network of a federation: trains it for a round, and makes it its own afterwards.

Here the epochs are told by the round, no validation slice decides when to stop, and classes are not weighted: the prior odds of
the retailer's own examples are added in the loss instead (see steps.build_plain_step), and never leave.
"""

import math
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from trainer.examples.examples import Examples
from trainer.federated import joint_form
from trainer.model import fit, network
from trainer.model.plan import HIDDEN, Privacy
from trainer.model.steps import Pull, Step, build_plain_step, build_private_step
from trainer.model.tensorflow import keras, tf

Arrays = Sequence[NDArray[np.float32]]
SHARE_MIN = 1e-6
HEAD_LAYERS = 1
"""Layers that fine-tuning changes, from the output back."""


class Round(NamedTuple):
    """How a round asks to train."""

    epochs: int
    batch_size: int
    learning_rate: float
    prior_offset: bool
    proximal_mu: float = 0.0
    privacy: Privacy | None = None
    examples_accounted: int = 0
    """With privacy: the number of examples that its cost was worked out for; at least this many are there."""


def derive_seed(seed: int, name: str) -> int:
    """A seed of this participant's own, the same for the same task."""
    return int.from_bytes(sha256(f"{seed}/{name}".encode()).digest()[:4], "big")


def train(
    base: Arrays, examples: Examples, how: Round, seed: int, *, head_only: bool = False
) -> list[NDArray[np.float32]]:
    """The arrays after the round's epochs on `examples`, from `base`; same base, examples and seed, same arrays.

    With privacy nobody can repeat it: the batches and the noise are drawn by secrets, the cost is never above what was
    accounted, and no count of labels gets into the loss. Raises TrainingRefusedError for a base of another form, or where
    training gives no finite numbers.

    The arrays have the shapes of `joint_form.list_tensors`: for each layer weights (inputs, units) and biases (units,),
    then the form.
    """
    net = _network(base, seed)
    if head_only:
        for layer in _weighted(net)[:-HEAD_LAYERS]:
            layer.trainable = False
    step = _step(net, examples, how)
    random = np.random.default_rng(seed if how.privacy is None else None)
    weights = examples.weights.astype(np.float32)
    for rows in _batches(len(examples), how, random):
        step(np.asarray(examples.features[rows]), examples.fraud[rows].astype(np.float32), weights[rows])
    trained: list[NDArray[np.float32]] = net.get_weights()
    refuse_broken(trained)
    return joint_form.split_arrays(base)._replace(weights=trained).join()


def compute_logits(arrays: Arrays, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits, shape (n,); higher is more suspicious. Raises TrainingRefusedError as `train`."""
    parted = _accepted(arrays)
    net, score = _scoring_network(parted.statistics.tobytes())
    net.set_weights(parted.weights)
    return score(features)


def build_fitted(arrays: Arrays) -> fit.Fitted:
    """The network with these arrays, for calibration, export and the registry.

    `arrays` have the shapes of `joint_form.list_tensors`: for each layer weights (inputs, units) and biases (units,), then
    the form.
    """
    started = time.monotonic()
    net, form = _network(arrays, 0), joint_form.build_constants(statistics=joint_form.split_arrays(arrays).statistics)
    return fit.Fitted(net, form, fit.build_scorer(net), 0, 0, 0, 0.0, time.monotonic() - started)


def average_models(one: Arrays, other: Arrays) -> list[NDArray[np.float32]]:
    """The middle of two networks of one form; calibrated as `one`, which is close to it.

    All have the shapes of `joint_form.list_tensors`: for each layer weights (inputs, units) and biases (units,), then the
    form.
    """
    pairs = zip(joint_form.split_arrays(one).weights, joint_form.split_arrays(other).weights, strict=True)
    return joint_form.split_arrays(one)._replace(weights=[((a + b) / 2).astype(np.float32) for a, b in pairs]).join()


def refuse_broken(arrays: Arrays) -> None:
    """Raises TrainingRefusedError for NaN and infinities. `arrays` may be of any shape."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise TrainingRefusedError(
            "training gave weights that are no finite numbers; the learning rate may be too high"
        )


@lru_cache(maxsize=1)
def _scoring_network(statistics: bytes) -> tuple[keras.Model, fit.Scorer]:
    """A network of the form that these statistics give, and what scores by its weights.

    Kept for the next model of this form, since a round compares several, and building one takes longer than scoring.
    """
    net = _build(np.frombuffer(statistics, dtype=np.float32), 0)
    return net, fit.build_scorer(net)


def _accepted(arrays: Arrays) -> joint_form.Parted:
    wanted = [tensor.shape for tensor in joint_form.list_tensors(HIDDEN)]
    if [tuple(array.shape) for array in arrays] != wanted:
        raise TrainingRefusedError("the common model has other shapes than this version's network")
    refuse_broken(arrays)
    parted = joint_form.split_arrays(arrays)
    return parted._replace(
        weights=[np.asarray(array, dtype=np.float32) for array in parted.weights],
        statistics=np.asarray(parted.statistics, dtype=np.float32),
    )


def _network(arrays: Arrays, seed: int) -> keras.Model:
    parted = _accepted(arrays)
    net = _build(parted.statistics, seed)
    net.set_weights(parted.weights)
    return net


def _build(statistics: NDArray[np.float32], seed: int) -> keras.Model:
    form = joint_form.build_constants(statistics=statistics)
    fit.use_threads(1)
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
    keras.backend.clear_session(free_memory=False)  # looking for garbage takes longer than building the network
    keras.utils.set_random_seed(seed)
    return network.build(form, len(form.mean))


def _weighted(net: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in net.layers if layer.weights]


def _step(net: keras.Model, examples: Examples, how: Round) -> Step:
    optimizer = keras.optimizers.AdamW(how.learning_rate, weight_decay=fit.WEIGHT_DECAY)
    optimizer.build(net.trainable_variables)
    pull = None
    if how.proximal_mu:
        pull = Pull(how.proximal_mu, [np.asarray(variable) for variable in net.trainable_variables])
    if how.privacy is not None:
        return build_private_step(net, optimizer, how.privacy, 0.0, how.batch_size, pull=pull)
    return build_plain_step(net, optimizer, 0.0, offset=_log_odds(examples) if how.prior_offset else 0.0, pull=pull)


def _log_odds(examples: Examples) -> float:
    weights = examples.weights
    share = float(np.clip(weights[examples.fraud].sum() / weights.sum(), SHARE_MIN, 1 - SHARE_MIN))
    return math.log(share / (1 - share))


def _batches(n: int, how: Round, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows of every step.

    With privacy each example comes into each step by a coin of its own, no likelier and in no more steps than accounted: with
    more examples than that, each is seen less often.
    """
    if how.privacy is not None:
        accounted = min(how.batch_size / how.examples_accounted, 1.0)
        rate = min(how.batch_size / n, accounted)
        for _ in range(math.ceil(how.epochs / accounted - 1e-9)):
            yield np.flatnonzero(random.random(n) < rate)
        return
    for _ in range(how.epochs):
        order = random.permutation(n)
        for start in range(0, n, how.batch_size):
            yield np.sort(order[start : start + how.batch_size])
