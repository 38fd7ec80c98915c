"""Can one tell from the released global model whose transactions it learned from?

The attack takes the loss of an example: what was trained on has a lower one (Yeom et al., CSF 2018). It is tried on a model that
has learned its examples by heart, so that it is known to work, and on one learned by DP-SGD at epsilon 3, beside what each is worth.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

from bench import federation_trial as trial
from bench.federation_local import Course
from bench.federation_trial import Bank
from bench.table import Row
from contract.federation_settings import RoundPrivacySettings, RoundSettings
from federation.figures import auc
from federation.learner import Arrays, Learner, Task, Trained
from federation.numpy_learner import Data, NumpyLearner, predict
from federation.privacy import noise_for, training_release
from federation.simulated_data import joined
from federation.simulation import Results

BANKS, EXAMPLES, OUTSIDERS = 5, 300, 5_000
FEATURES, INFORMATIVE, FRAUD_SHARE, LABEL_NOISE = 20, 10, 0.3, 0.2
EPSILON, DELTA = 3.0, 1e-5
CLIP = 1.0
"""Of one example's gradient."""
OPEN = Course(rounds=10, epochs=20, batch_size=32, learning_rate=2e-3, dropout=0.0)
PRIVATE = Course(rounds=10, epochs=2, batch_size=32, learning_rate=2e-3, dropout=0.0)
QUICK_OPEN, QUICK_PRIVATE = OPEN._replace(rounds=2, epochs=5), PRIVATE._replace(rounds=2, epochs=1)
PRIVATE_MAX, OPEN_MIN = 0.55, 0.65
_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-7


class Outcome(NamedTuple):
    """Of one released model."""

    results: Results
    attack: float
    """Area under the curve of telling members from others by their loss; 0.5 is a guess."""
    members: float
    others: float
    """AUC of the model itself, on what it learned from and on what it never saw."""


class PrivateLearner(NumpyLearner):
    """DP-SGD (Abadi et al., CCS 2016): Poisson batches, each example's gradient clipped, Gaussian noise on the sum, then Adam.

    The norms of single gradients come from the layers' inputs and errors (Goodfellow 2015), without forming the gradients.
    """

    def __init__(self, own: Data, newest: Data, *, seed: int) -> None:
        super().__init__(own, newest, seed=seed)
        self._own = own
        self._own_seed = seed

    def train(self, task: Task) -> Trained:
        if task.privacy.level != "sample":
            return super().train(task)
        arrays = private_fit(task, self._own, self._own_seed + task.seed)
        return Trained(arrays, len(self._own.labels), int(self._own.labels.sum()), self.evaluate(arrays))


def private_fit(task: Task, data: Data, seed: int) -> list[NDArray[np.float32]]:
    """The arrays after as many noisy steps as the plan's release has."""
    random = np.random.default_rng(seed)
    terms, training = task.privacy, task.training
    release = training_release(terms.noise_multiplier, terms.examples_min, training.batch_size, training.epochs)
    arrays = [array.astype(np.float64) for array in task.base]
    first, second = [np.zeros_like(array) for array in arrays], [np.zeros_like(array) for array in arrays]
    # With more examples than the plan's least, each has less of a chance, never more.
    chance = min(training.batch_size / max(len(data.labels), terms.examples_min), 1.0)
    for step in range(1, release.steps + 1):
        batch = np.flatnonzero(random.random(len(data.labels)) < chance)
        for place, summed in enumerate(clipped_sum(arrays, Data(data.features[batch], data.labels[batch]))):
            noisy = summed + random.normal(scale=terms.noise_multiplier * CLIP, size=summed.shape)
            gradient = noisy / training.batch_size
            first[place] = _BETA1 * first[place] + (1 - _BETA1) * gradient
            second[place] = _BETA2 * second[place] + (1 - _BETA2) * gradient**2
            towards, spread = first[place] / (1 - _BETA1**step), np.sqrt(second[place] / (1 - _BETA2**step))
            arrays[place] -= training.learning_rate * towards / (spread + _TINY)
    return [array.astype(np.float32) for array in arrays]


def clipped_sum(arrays: list[NDArray[np.float64]], batch: Data) -> list[NDArray[np.float64]]:
    """The sum of the examples' gradients of the cross-entropy, each of an L2 norm of at most CLIP."""
    inputs = [batch.features.astype(np.float64)]
    for weights, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
        inputs.append(np.maximum(inputs[-1] @ weights + bias, 0))
    logit = (inputs[-1] @ arrays[-2] + arrays[-1])[:, 0]
    errors = [(1 / (1 + np.exp(-np.clip(logit, -60, 60))) - batch.labels)[:, None]]
    for layer in range(len(arrays) // 2 - 1, 0, -1):
        errors.insert(0, (errors[0] @ arrays[2 * layer].T) * (inputs[layer] > 0))
    squares = sum(
        ((one**2).sum(axis=1) + 1) * (error**2).sum(axis=1) for one, error in zip(inputs, errors, strict=True)
    )
    factor = np.minimum(1.0, CLIP / np.maximum(np.sqrt(squares), 1e-12))[:, None]
    return [
        part
        for one, error in zip(inputs, errors, strict=True)
        for part in (one.T @ (error * factor), (error * factor).sum(axis=0))
    ]


def data() -> tuple[dict[str, Bank], Data]:
    """The banks' examples, a part of whose labels is wrong, and others of the same kind."""
    features, labels = make_classification(
        n_samples=BANKS * EXAMPLES + OUTSIDERS, n_features=FEATURES, n_informative=INFORMATIVE,
        weights=[1 - FRAUD_SHARE], flip_y=LABEL_NOISE, class_sep=1.0, random_state=7,
    )  # fmt: skip
    values = StandardScaler().fit_transform(features).astype(np.float32)
    truth = labels.astype(bool)
    whole = [
        Data(values[place * EXAMPLES : (place + 1) * EXAMPLES], truth[place * EXAMPLES : (place + 1) * EXAMPLES])
        for place in range(BANKS)
    ]
    return (
        {f"bank-{number}": Bank(part, part) for number, part in enumerate(whole)},
        Data(values[BANKS * EXAMPLES :], truth[BANKS * EXAMPLES :]),
    )


def losses(arrays: Arrays, data: Data) -> NDArray[np.float64]:
    """Of each example, in nats."""
    scores = np.clip(predict(arrays, data.features), 1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = -np.log(np.where(data.labels, scores, 1 - scores))
    return found


def attack(arrays: Arrays, members: Data, others: Data) -> float:
    """How well the loss tells members from others."""
    found = np.concatenate([losses(arrays, members), losses(arrays, others)])
    return auc(-found, np.arange(len(found)) < len(members.labels))


def settings(course: Course, *, private: bool) -> RoundSettings:
    """Equal banks and no local prior: neither is covered by the noise."""
    plain = trial.plain(course)
    if not private:
        return plain
    release = training_release(1.0, EXAMPLES, course.batch_size, course.epochs)
    noise = noise_for(EPSILON, DELTA, steps=release.steps * course.rounds, sampling=release.sampling)
    privacy = RoundPrivacySettings(
        level="sample", noise_multiplier=math.ceil(noise * 1e4) / 1e4, delta=DELTA, epsilon_max=EPSILON,
        examples_min=EXAMPLES,
    )  # fmt: skip
    return plain.model_copy(update={"privacy": privacy})


def run(course: Course, *, private: bool) -> Outcome:
    """One federation, and the attack on its last model."""
    banks, others = data()
    members = joined([bank.own for bank in banks.values()])
    released: list[Arrays] = []

    def evaluate(arrays: Arrays) -> dict[str, float]:
        released[:] = [arrays]
        return trial.judged_on(others)(arrays)

    def learner(name: str, bank: Bank) -> Learner:
        return PrivateLearner(bank.own, bank.newest, seed=course.seed + int(name.rsplit("-", 1)[-1]))

    title = "private" if private else "not private"
    results = trial.federated(title, banks, settings(course, private=private), course, evaluate, learner=learner)
    last = released[0]
    return Outcome(
        results,
        attack(last, members, others),
        auc(predict(last, members.features), members.labels),
        auc(predict(last, others.features), others.labels),
    )


def measure(*, quick: bool) -> list[Row]:
    """Both models."""
    private = run(QUICK_PRIVATE if quick else PRIVATE, private=True)
    open_ = run(QUICK_OPEN if quick else OPEN, private=False)
    spent = float(private.results.privacy["epsilon_after"])
    judged = not quick
    rows = [
        Row(
            "attack on the private model, AUC", private.attack, "", open_.attack, private.attack / open_.attack,
            f"<= {PRIVATE_MAX:g}", private.attack <= PRIVATE_MAX,
        ),
        Row(
            "attack on the model without privacy, AUC", open_.attack, "",
            target=f">= {OPEN_MIN:g}" if judged else None, holds=open_.attack >= OPEN_MIN if judged else None,
        ),
        Row("epsilon spent by the coordinator's ledger", spent, "", target=f"<= {EPSILON:g}", holds=spent <= EPSILON),
    ]  # fmt: skip
    for name, one in (("private", private), ("without privacy", open_)):
        rows.append(Row(f"{name}: AUC on what it never saw", one.others, "", one.members, one.others / one.members))
    return rows
