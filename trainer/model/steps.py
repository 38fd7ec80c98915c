"""One step of learning: plain, or with differential privacy (DP-SGD, Abadi et al., 2016).

The loss of an example is its weight times (1 - p)^gamma times its cross-entropy, p being the probability that the network gives to
what it truly was: focal loss (Lin et al., 2017), cross-entropy for gamma = 0. No step branches on what it computes, so TensorFlow
need not rewrite its code (AutoGraph), which would take as long as a round's first epoch.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.model.plan import Privacy
from trainer.model.tensorflow import keras, tf

Step = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], None]
"""Takes features (n, F), fraud (n,) as 0 or 1, and weight (n,)."""
TOGETHER = 64
"""Examples whose single gradients are in memory at once."""
_NORM_MIN = 1e-12


class Pull(NamedTuple):
    """FedProx (Li et al., 2020): holds the weights to those that training began with, by mu / 2 times the squared distance."""

    mu: float
    towards: Sequence[NDArray[np.float32]]

    def add(self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """The gradients with that of the distance; knows no example, so it costs no privacy."""
        return [
            gradient + self.mu * (tf.convert_to_tensor(variable) - start)
            for gradient, variable, start in zip(gradients, variables, self.towards, strict=True)
        ]


def build_plain_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    gamma: float,
    *,
    offset: float = 0.0,
    pull: Pull | None = None,
) -> Step:
    """Follows the gradient of the weighted mean loss; the network's dropout is at work.

    `offset` is added to the logit in the loss alone: with the examples' own log prior odds the network learns what tells a
    fraud from the rest, and not how many there are here.
    """

    def step(features: tf.Tensor, fraud: tf.Tensor, weight: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = _losses(network(features, training=True)[:, 0] + offset, fraud, gamma)
            loss = tf.reduce_sum(weight * losses) / tf.reduce_sum(weight)
        gradients = tape.gradient(loss, network.trainable_variables)
        if pull is not None:
            gradients = pull.add(gradients, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    compiled: Step = tf.function(step, input_signature=_signature(network), autograph=False)
    return compiled


def build_private_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    privacy: Privacy,
    gamma: float,
    expected: int,
    *,
    pull: Pull | None = None,
) -> Step:
    """Clips every example's gradient, sums, adds Gaussian noise, and divides by the `expected` size of a batch.

    Without dropout: the noise does its work. The noise comes from a seed that nobody knows, since noise that can be drawn again
    can be taken away again; so a private training cannot be repeated.
    """
    variables = network.trainable_variables
    noise = tf.random.Generator.from_seed(secrets.randbits(62))

    def gradients_of(example: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
        features, fraud, weight = example
        with tf.GradientTape() as tape:
            logit = network(features[tf.newaxis, :], training=False)[:, 0]
            loss = tf.reduce_sum(weight * _losses(logit, fraud[tf.newaxis], gamma))
        found = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in found]

    def clipped_sum(features: tf.Tensor, fraud: tf.Tensor, weight: tf.Tensor) -> list[tf.Tensor]:
        each = tf.vectorized_map(gradients_of, (features, fraud, weight))
        squares = [tf.reduce_sum(tf.reshape(g, (tf.shape(g)[0], -1)) ** 2, axis=1) for g in each]
        norm = tf.sqrt(tf.add_n(squares))
        factor = tf.minimum(1.0, privacy.clipping_norm / tf.maximum(norm, _NORM_MIN))
        return [tf.tensordot(factor, gradient, axes=1) for gradient in each]

    def follow(*summed: tf.Tensor) -> None:
        spread = privacy.noise_multiplier * privacy.clipping_norm
        noisy = [(total + noise.normal(tf.shape(total), stddev=spread)) / expected for total in summed]
        if pull is not None:
            noisy = pull.add(noisy, variables)
        optimizer.apply_gradients(zip(noisy, variables, strict=True))

    summing = tf.function(clipped_sum, input_signature=_signature(network), autograph=False)
    following = tf.function(follow, autograph=False)

    def step(features: NDArray[np.float32], fraud: NDArray[np.float32], weight: NDArray[np.float32]) -> None:
        totals = [tf.zeros_like(variable) for variable in variables]
        for start in range(0, len(features), TOGETHER):
            part = slice(start, start + TOGETHER)
            found = summing(features[part], fraud[part], weight[part])
            totals = [total + more for total, more in zip(totals, found, strict=True)]
        following(*totals)

    return step


def _losses(logits: tf.Tensor, fraud: tf.Tensor, gamma: float) -> tf.Tensor:
    losses = tf.nn.sigmoid_cross_entropy_with_logits(fraud, logits)
    return losses * (1.0 - tf.exp(-losses)) ** gamma if gamma else losses


def _signature(network: keras.Model) -> list[tf.TensorSpec]:
    number = tf.TensorSpec((None,), tf.float32)
    return [tf.TensorSpec((None, network.input_shape[1]), tf.float32), number, number]
