"""Can one tell from the released global model whose transactions it learned from?

What was trained on has a lower loss (Yeom et al., CSF 2018), but some examples are hard for every model. The attacker therefore holds
shadow federations, which learned as the attacked one from examples of the same kind that were its own, and asks by how much an example is
easier for the released model than for those (difficulty calibration, Watson et al., ICLR 2022, on the logit of the true label as in Carlini et
al., S&P 2022). Both attacks are tried on a model that has learned its examples by heart, so that it is known that they work, and on one
learned by DP-SGD at epsilon 3, next to what each is worth.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.preprocessing import StandardScaler

from bench.federation import trial
from bench.federation.local import Course
from bench.federation.trial import Bank
from bench.table import Row
from contract.federation.settings import RoundPrivacySettings, RoundSettings
from contract.statistics.ranking import auc
from federation.learning.learner import Arrays, Learner, Task, Trained
from federation.learning.numpy_learner import Data, NumpyLearner, predict
from federation.privacy.accounting import build_training_release, find_noise_multiplier
from federation.simulation.data import join_parts
from federation.simulation.simulation import Results

BANKS, EXAMPLES, OUTSIDERS = 5, 300, 5_000
FEATURES, INFORMATIVE, FRAUD_SHARE, LABEL_NOISE = 20, 10, 0.3, 0.35
SHADOWS, QUICK_SHADOWS = 4, 1
EPSILON, DELTA = 3.0, 1e-5
CLIP = 1.0
"""Of one example's gradient."""
OPEN = Course(rounds=10, epochs=20, batch_size=32, learning_rate=2e-3, dropout=0.0, hidden=(256, 64))
PRIVATE = OPEN._replace(epochs=2)
QUICK_OPEN, QUICK_PRIVATE = OPEN._replace(rounds=2, epochs=5), PRIVATE._replace(rounds=2, epochs=1)
PRIVATE_MAX, OPEN_MIN = 0.55, 0.65
_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-7


class Outcome(NamedTuple):
    """Of one released model."""

    results: Results
    attack: float
    """Area under the curve of telling members from others with shadow models; 0.5 is a guess."""
    by_loss: float
    """The same by the loss alone."""
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
        arrays = fit_privately(task, self._own, self._own_seed + task.seed)
        return Trained(arrays, len(self._own.labels), int(self._own.labels.sum()))


def fit_privately(task: Task, data: Data, seed: int) -> list[NDArray[np.float32]]:
    """The arrays after as many noisy steps as the plan's release has.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    random = np.random.default_rng(seed)
    terms, training = task.privacy, task.training
    release = build_training_release(terms.noise_multiplier, terms.examples_min, training.batch_size, training.epochs)
    arrays = [array.astype(np.float64) for array in task.base]
    first, second = [np.zeros_like(array) for array in arrays], [np.zeros_like(array) for array in arrays]
    # With more examples than the plan's least, each has less of a chance, never more.
    chance = min(training.batch_size / max(len(data.labels), terms.examples_min), 1.0)
    for step in range(1, release.steps + 1):
        batch = np.flatnonzero(random.random(len(data.labels)) < chance)
        for place, summed in enumerate(sum_clipped(arrays, Data(data.features[batch], data.labels[batch]))):
            noisy = summed + random.normal(scale=terms.noise_multiplier * CLIP, size=summed.shape)
            gradient = noisy / training.batch_size
            first[place] = _BETA1 * first[place] + (1 - _BETA1) * gradient
            second[place] = _BETA2 * second[place] + (1 - _BETA2) * gradient**2
            towards, spread = first[place] / (1 - _BETA1**step), np.sqrt(second[place] / (1 - _BETA2**step))
            arrays[place] -= training.learning_rate * towards / (spread + _TINY)
    return [array.astype(np.float32) for array in arrays]


def sum_clipped(arrays: list[NDArray[np.float64]], batch: Data) -> list[NDArray[np.float64]]:
    """The sum of the examples' gradients of the cross-entropy, each of an L2 norm of at most CLIP.

    Arrays and sums: for each layer weights (inputs, units) and a bias (units,), float64.
    """
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


def generate_data(shadows: int) -> tuple[list[dict[str, Bank]], Data]:
    """Of the attacked federation and of each shadow the banks' examples, a part of whose labels is wrong; others of the same kind."""
    count = (1 + shadows) * BANKS
    features, labels = make_classification(
        n_samples=count * EXAMPLES + OUTSIDERS, n_features=FEATURES, n_informative=INFORMATIVE,
        weights=[1 - FRAUD_SHARE], flip_y=LABEL_NOISE, class_sep=1.0, random_state=7,
    )  # fmt: skip
    values = StandardScaler().fit_transform(features).astype(np.float32)
    truth = labels.astype(bool)
    whole = [
        Data(values[place * EXAMPLES : (place + 1) * EXAMPLES], truth[place * EXAMPLES : (place + 1) * EXAMPLES])
        for place in range(count)
    ]
    return (
        [
            {f"bank-{number}": Bank(part, part) for number, part in enumerate(whole[start : start + BANKS])}
            for start in range(0, count, BANKS)
        ],
        Data(values[count * EXAMPLES :], truth[count * EXAMPLES :]),
    )


def compute_confidence(arrays: Arrays, data: Data) -> NDArray[np.float64]:
    """The logit of each example's own label: the higher, the lower its loss. The shape is (n,) for n examples."""
    scores = np.clip(predict(arrays, data.features).astype(np.float64), 1e-12, 1 - 1e-12)
    found: NDArray[np.float64] = np.log(scores / (1 - scores)) * np.where(data.labels, 1, -1)
    return found


def attack(arrays: Arrays, shadows: Sequence[Arrays], members: Data, others: Data) -> float:
    """How well members are told from others: by the confidence in their labels, less the shadows' mean where there are any.

    The result is an AUC, within [0, 1]. Each model: for each layer weights (inputs, units) and a bias (units,).
    """
    found = [
        compute_confidence(arrays, asked)
        - sum((compute_confidence(shadow, asked) for shadow in shadows), np.zeros(1)) / max(len(shadows), 1)
        for asked in (members, others)
    ]
    return auc(np.concatenate(found), np.arange(sum(map(len, found))) < len(members.labels))


def build_settings(course: Course, *, private: bool) -> RoundSettings:
    """Equal banks and no local prior: neither is covered by the noise."""
    plain = trial.build_plain_settings(course)
    if not private:
        return plain
    release = build_training_release(1.0, EXAMPLES, course.batch_size, course.epochs)
    noise = find_noise_multiplier(EPSILON, DELTA, steps=release.steps * course.rounds, sampling=release.sampling)
    privacy = RoundPrivacySettings(
        level="sample", noise_multiplier=math.ceil(noise * 1e4) / 1e4, delta=DELTA, epsilon_max=EPSILON,
        examples_min=EXAMPLES,
    )  # fmt: skip
    return plain.model_copy(update={"privacy": privacy})


def run(course: Course, shadows: int, *, private: bool) -> Outcome:
    """One federation and its shadows, and the attack on its last model."""
    divided, others = generate_data(shadows)
    title = "private" if private else "not private"
    (results, last), *rest = [
        _federation(f"{title}, {f'shadow {place}' if place else 'attacked'}", banks, others, course, private=private)
        for place, banks in enumerate(divided)
    ]
    members = join_parts([bank.own for bank in divided[0].values()])
    return Outcome(
        results,
        attack(last, [arrays for _, arrays in rest], members, others),
        attack(last, [], members, others),
        auc(predict(last, members.features), members.labels),
        auc(predict(last, others.features), others.labels),
    )


def _federation(
    title: str, banks: dict[str, Bank], others: Data, course: Course, *, private: bool
) -> tuple[Results, Arrays]:
    """What happened, and the last model."""
    released: list[Arrays] = []

    def evaluate(arrays: Arrays) -> dict[str, float]:
        released[:] = [arrays]
        return trial.make_evaluation(others)(arrays)

    def learner(name: str, bank: Bank) -> Learner:
        return PrivateLearner(bank.own, bank.newest, seed=course.seed + int(name.rsplit("-", 1)[-1]))

    results = trial.run_federation(
        title, banks, build_settings(course, private=private), course, evaluate, learner=learner
    )
    return results, released[0]


def measure(*, quick: bool) -> list[Row]:
    """Both models."""
    shadows = QUICK_SHADOWS if quick else SHADOWS
    private = run(QUICK_PRIVATE if quick else PRIVATE, shadows, private=True)
    open_ = run(QUICK_OPEN if quick else OPEN, shadows, private=False)
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
        Row(
            "attack by the loss alone on the private model, AUC", private.by_loss, "", open_.by_loss,
            private.by_loss / open_.by_loss, f"<= {PRIVATE_MAX:g}", private.by_loss <= PRIVATE_MAX,
        ),
        Row("epsilon spent by the coordinator's ledger", spent, "", target=f"<= {EPSILON:g}", holds=spent <= EPSILON),
    ]  # fmt: skip
    for name, one in (("private", private), ("without privacy", open_)):
        rows.append(Row(f"{name}: AUC on what it never saw", one.others, "", one.members, one.others / one.members))
    return rows
