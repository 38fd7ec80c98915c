"""A learner that needs numpy only: a small network for simulations and tests. The product's own is the trainer's.

Layers of ReLU, a logit at the end; Adam (Kingma and Ba 2015) on the mean cross-entropy. With `prior_offset` the loss is that of
logit + log prior odds of the participant's own examples, so that the shared model learns what tells a fraud from the rest and
not how many there are here.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import TensorShape
from contract.federation.settings import GATE_CONFIDENCE, PROVING_TRAININGS
from federation.learning import numpy_form
from federation.learning.gate import choose_model, compute_confidence
from federation.learning.learner import Adopted, Arrays, Choice, Task, Trained, TrainingUnableError
from federation.learning.metrics import compute_probabilities, measure
from federation.numeric import calibration

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-7
EXAMPLES_MIN = 8


class Data(NamedTuple):
    """Labelled examples."""

    features: NDArray[np.float32]
    """Shape (n, features); standardised, or of any scale where the model has room for statistics."""
    labels: NDArray[np.bool_]
    """Shape (n,)."""


def list_shapes(features: int, hidden: Sequence[int], *, form: bool = False) -> tuple[TensorShape, ...]:
    """Of weights and biases, layer by layer; `form`: with room for statistics and calibration."""
    sizes = [features, *hidden, 1]
    shapes: list[TensorShape] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        shapes += [
            TensorShape(name=f"layer{layer}/weights", shape=(inputs, outputs)),
            TensorShape(name=f"layer{layer}/bias", shape=(outputs,)),
        ]
    if form:
        statistics, scaling = numpy_form.make_empty(features)
        shapes += [
            TensorShape(name="statistics", shape=statistics.shape, role="statistics"),
            TensorShape(name="calibration", shape=scaling.shape, role="calibration"),
        ]
    return tuple(shapes)


def initialise_arrays(
    features: int, hidden: Sequence[int], seed: int, *, form: bool = False
) -> list[NDArray[np.float32]]:
    """He initialisation (2015), biases zero; nothing measured.

    For each layer weights (inputs, units) and a bias (units,); with `form` also moments (2 * features,) and a
    calibration (PARAMETERS,).
    """
    random = np.random.default_rng(seed)
    arrays: list[NDArray[np.float32]] = []
    for tensor in list_shapes(features, hidden):
        if len(tensor.shape) == 1:
            arrays.append(np.zeros(tensor.shape, np.float32))
        else:
            arrays.append((random.standard_normal(tensor.shape) * math.sqrt(2 / tensor.shape[0])).astype(np.float32))
    return arrays + (numpy_form.make_empty(features) if form else [])


def predict(arrays: Arrays, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities of fraud, shape (n,); as among pooled examples where the model was calibrated on them."""
    odds, scaling = compute_logits(arrays, features), numpy_form.read_scaling(numpy_form.split_arrays(arrays).form)
    if scaling is not None:
        return calibration.compute_probability(scaling, odds)
    return compute_probabilities(odds)


def compute_logits(arrays: Arrays, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of fraud, shape (n,), before any calibration."""
    layers, form = numpy_form.split_arrays(arrays)
    return _forward(layers, numpy_form.normalise(form, features))[-1]


def _forward(
    arrays: Sequence[NDArray[np.floating]], features: NDArray[np.float32], keeps: Sequence[NDArray[np.float64]] = ()
) -> list[NDArray[np.float64]]:
    """The input, each layer's output, and the logit of shape (n,)."""
    outputs: list[NDArray[np.float64]] = [features.astype(np.float64)]
    for layer, (weights, bias) in enumerate(zip(arrays[:-2:2], arrays[1:-2:2], strict=True)):
        outputs.append(np.maximum(outputs[-1] @ weights.astype(np.float64) + bias, 0))
        if keeps:
            outputs[-1] *= keeps[layer]
    outputs.append((outputs[-1] @ arrays[-2].astype(np.float64) + arrays[-1])[:, 0])
    return outputs


def _gradients(
    arrays: Sequence[NDArray[np.floating]], batch: Data, offset: float, keeps: Sequence[NDArray[np.float64]] = ()
) -> list[NDArray[np.float64]]:
    """`keeps`: what each hidden layer's outputs are multiplied by (dropout), layer by layer; empty: nothing."""
    outputs = _forward(arrays, batch.features, keeps)
    error = 1 / (1 + np.exp(-np.clip(outputs[-1] + offset, -60, 60))) - batch.labels
    flowing = error[:, None] / len(error)
    gradients: list[NDArray[np.float64]] = []
    for layer in range(len(arrays) // 2 - 1, -1, -1):
        gradients = [outputs[layer].T @ flowing, flowing.sum(axis=0), *gradients]
        if layer:
            flowing = (flowing @ arrays[2 * layer].astype(np.float64).T) * (outputs[layer] > 0)
            if keeps:
                flowing *= keeps[layer - 1]
    return gradients


def _keeps(
    arrays: Sequence[NDArray[np.floating]], rows: int, dropout: float, random: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Dropout (Srivastava et al., JMLR 2014), scaled so that the mean stays."""
    return [(random.random((rows, len(bias))) >= dropout) / (1 - dropout) for bias in arrays[1:-2:2]] if dropout else []


def fit(base: Arrays, data: Data, task: Task, seed: int, dropout: float = 0.0) -> list[NDArray[np.float32]]:
    """The arrays after the task's epochs on `data`, from `base`; hidden outputs are dropped with probability `dropout`.

    For each layer weights (inputs, units) and a bias (units,), float32; a form behind them stays as it is.
    """
    random = np.random.default_rng(seed)
    layers, form = numpy_form.split_arrays(base)
    data = Data(numpy_form.normalise(form, data.features), data.labels)
    arrays = [array.astype(np.float64) for array in layers]
    start = [array.copy() for array in arrays]
    first, second = [np.zeros_like(array) for array in arrays], [np.zeros_like(array) for array in arrays]
    share = float(np.clip(data.labels.mean(), 1e-6, 1 - 1e-6))
    offset = math.log(share / (1 - share)) if task.training.prior_offset else 0.0
    step = 0
    for _ in range(task.training.epochs):
        order = random.permutation(len(data.labels))
        for begin in range(0, len(order), task.training.batch_size):
            chosen = order[begin : begin + task.training.batch_size]
            step += 1
            keeps = _keeps(arrays, len(chosen), dropout, random)
            gradients = _gradients(arrays, Data(data.features[chosen], data.labels[chosen]), offset, keeps)
            for place, gradient in enumerate(gradients):
                pull = gradient + task.training.proximal_mu * (arrays[place] - start[place])
                first[place] = _BETA1 * first[place] + (1 - _BETA1) * pull
                second[place] = _BETA2 * second[place] + (1 - _BETA2) * pull**2
                towards = first[place] / (1 - _BETA1**step)
                spread = np.sqrt(second[place] / (1 - _BETA2**step))
                arrays[place] -= task.training.learning_rate * towards / (spread + _TINY)
    return [*(array.astype(np.float32) for array in arrays), *form]


class NumpyLearner:
    """See federation.learning.learner.Learner."""

    def __init__(
        self,
        data: Data,
        newest: Data,
        *,
        seed: int,
        frauds_min: int = 5,
        dropout: float = 0.0,
    ) -> None:
        """`newest` is what global models are judged on, never trained on."""
        self._dropout = dropout
        self._data = data
        self._newest = newest
        self._seed = seed
        self._frauds_min = frauds_min
        self.serving: list[NDArray[np.float32]] | None = None
        """The model in service; None before the first."""
        self._local: list[NDArray[np.float32]] | None = None

    def train(self, task: Task) -> Trained:
        if len(self._data.labels) < EXAMPLES_MIN:
            raise TrainingUnableError("data", f"{len(self._data.labels)} examples, at least {EXAMPLES_MIN}")
        if task.privacy.level == "sample":
            raise TrainingUnableError(
                "training", "this learner knows no DP-SGD, so it cannot keep what the plan promises"
            )
        self._local = self._fitted(task)
        return Trained(self._local, len(self._data.labels), int(self._data.labels.sum()))

    def _fitted(self, task: Task) -> list[NDArray[np.float32]]:
        return fit(task.base, self._data, task, self._seed + task.seed, self._dropout)

    def summarise(self, task: Task) -> Trained:
        data = self._data
        if len(data.labels) < EXAMPLES_MIN:
            raise TrainingUnableError("data", f"{len(data.labels)} examples, at least {EXAMPLES_MIN}")
        if task.purpose == "statistics":
            vector = numpy_form.summarise(data.features)
        else:
            vector = calibration.compute_histogram(compute_logits(task.base, data.features), data.labels).astype(
                np.float32
            )
        return Trained([vector], len(data.labels), int(data.labels.sum()))

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        """By model; its arrays: for each layer weights (inputs, units) and a bias (units,)."""
        return [self.evaluate(arrays) for arrays in models]

    def evaluate(self, arrays: Arrays) -> dict[str, float]:
        """How one model does on the newest examples.

        `arrays`: for each layer weights (inputs, units) and a bias (units,), and a form where there is one.
        """
        return measure(predict(arrays, self._newest.features), self._newest.labels)

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:  # noqa: ARG002 - the port's; nothing is kept by version
        """`arrays`: for each layer weights (inputs, units) and a bias (units,)."""
        candidates: dict[Choice, list[NDArray[np.float32]]] = {"global": list(arrays)}
        if self.serving is not None:
            candidates["local"] = self.serving
        if self._local is not None:
            layers, form = numpy_form.split_arrays(arrays)
            own = numpy_form.split_arrays(self._local).layers
            middle = [((one + other) / 2).astype(np.float32) for one, other in zip(layers, own, strict=True)]
            candidates["blended"] = [*middle, *form]
        scores = {name: predict(candidate, self._newest.features) for name, candidate in candidates.items()}
        confidence = compute_confidence(GATE_CONFIDENCE, trainings=trainings, proving=PROVING_TRAININGS)
        choice = choose_model(
            scores, self._newest.labels, frauds_min=self._frauds_min, confidence=confidence, seed=self._seed
        ).choice
        self.serving = candidates.get(choice, self.serving)
        return Adopted(choice, measure(scores[choice], self._newest.labels) if choice in scores else {})
