"""What the sections with learning share: a federation in memory of banks that learn with numpy, and what they are compared with.

Coordinator and participants are the product's; nobody's test data is trained on or chosen by.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.federation.local import Course, build_task, start
from contract.errors import ConfigurationError
from contract.federation.settings import LocalTrainingSettings, RoundSettings, StrategySettings
from contract.statistics.ranking import average_precision
from federation.coordinator.server_update import EVALUATED_APART_MAX
from federation.learning.learner import Arrays, Learner
from federation.learning.metrics import measure
from federation.learning.numpy_learner import Data, NumpyLearner, fit, list_shapes, predict
from federation.messages.global_weights import GlobalWeights
from federation.numeric.tensors import flatten
from federation.plan_parameters import FRAUD_IS_WORTH
from federation.simulation.data import join_parts, split
from federation.simulation.simulation import ParticipantFacts, Results, RoundFacts, Simulated, make_willing, simulate
from federation.transports.memory import Faults

KEPT_BACK = 0.9
"""Of a bank's examples are trained on; a global model is judged on the rest, its newest."""
WEIGHT_UNIT = 100_000.0
"""Above the weight of every bank here, so that none is cut."""


def build_plain_settings(course: Course) -> RoundSettings:
    """FedAvg by size, the loss as it is: what is compared with."""
    return _settings(course, StrategySettings(name="fedavg"), frauds_weight=0.0, prior_offset=False)


def build_advised_settings(course: Course, fraud_share: float = 1 / FRAUD_IS_WORTH) -> RoundSettings:
    """The local prior in the loss, weights half by examples and half by frauds, server momentum 0.5; masked.

    A fraud counts as FRAUD_IS_WORTH examples. Where all examples together hold another share of them, which is a quotient of two sums,
    the setting that makes both halves equal follows from it.
    """
    frauds_weight = 1 / (1 + FRAUD_IS_WORTH * fraud_share)
    strategy = StrategySettings(name="fedavgm", momentum=0.5)
    return _settings(course, strategy, frauds_weight=frauds_weight, prior_offset=True)


def _settings(course: Course, strategy: StrategySettings, *, frauds_weight: float, prior_offset: bool) -> RoundSettings:
    return RoundSettings(
        frauds_weight=frauds_weight,
        weight_unit=WEIGHT_UNIT,
        strategy=strategy,
        training=LocalTrainingSettings(
            epochs=course.epochs,
            batch_size=course.batch_size,
            learning_rate=course.learning_rate,
            prior_offset=prior_offset,
        ),
    )


class Bank(NamedTuple):
    """One participant's examples: those it trains on, and the newest, which it judges a global model by."""

    own: Data
    newest: Data


def compute_fraud_share(banks: Mapping[str, Bank]) -> float:
    """Of frauds among all that banks train on."""
    return float(join_parts([bank.own for bank in banks.values()]).labels.mean())


def build_banks(parts: Sequence[Data], seed: int) -> dict[str, Bank]:
    """The parts by name, each split."""
    return {f"bank-{number}": Bank(*split(part, KEPT_BACK, seed + number)) for number, part in enumerate(parts)}


def build_learner(course: Course, name: str, bank: Bank) -> Learner:
    """An honest bank's learner."""
    return NumpyLearner(bank.own, bank.newest, seed=course.seed + read_number(name), dropout=course.dropout)


def build_first_model(banks: Mapping[str, Bank], course: Course) -> GlobalWeights:
    """What everyone begins with."""
    features = next(iter(banks.values())).own.features.shape[1]
    return GlobalWeights(
        version=0, shapes=list_shapes(features, course.hidden), payload=flatten(start(features, course)).tobytes()
    )


def run_federation(
    title: str,
    banks: Mapping[str, Bank],
    rounds: RoundSettings,
    course: Course,
    evaluate: Callable[[Arrays], dict[str, float]],
    *,
    learner: Callable[[str, Bank], Learner] | None = None,
    faults: Faults | None = None,
    crashes: tuple[float, float] = (0.0, 0.0),
    after_round: Callable[[], None] = lambda: None,
    evaluated_apart_max: int = EVALUATED_APART_MAX,
) -> Results:
    """One federation from its first to its last round; `crashes`: of a participant in a turn, of the coordinator in a round."""
    make = learner or partial(build_learner, course)

    def told(facts: RoundFacts) -> None:
        after_round()
        say(f"{title}, round {facts.round}: {facts.outcome}, AP {facts.figures.get('ap', float('nan')):.4f}")

    return simulate(
        Simulated(
            title=title,
            seed=course.seed,
            rounds=course.rounds,
            settings=make_willing(rounds),
            faults=faults or Faults(),
            participant_crash=crashes[0],
            coordinator_crash=crashes[1],
            evaluated_apart_max=evaluated_apart_max,
        ),
        {name: make(name, bank) for name, bank in banks.items()},
        build_first_model(banks, course),
        evaluate=evaluate,
        facts=[
            ParticipantFacts(name=name, examples=len(bank.own.labels), frauds=int(bank.own.labels.sum()), local={})
            for name, bank in banks.items()
        ],
        central={},
        progress=told,
    )


def read_number(name: str) -> int:
    """Of a bank, by its name."""
    return int(name.rsplit("-", 1)[-1])


def get_final_figure(results: Results, figure: str = "ap") -> float:
    """Of the last model; 0 where no round gave one."""
    done = [one.figures[figure] for one in results.rounds if figure in one.figures]
    return done[-1] if done else 0.0


def train_alone(data: Data, course: Course) -> list[NDArray[np.float32]]:
    """A model trained on `data` only, for as many epochs as all rounds together.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    base = start(data.features.shape[1], course)
    task = build_task(course, base, course.rounds * course.epochs, seed=course.seed)
    return fit(base, data, task, course.seed, course.dropout)


def train_by_round(data: Data, course: Course) -> Iterator[list[NDArray[np.float32]]]:
    """The models of a training on `data` only, after as many epochs as each round has; Adam begins again then, as it does for banks.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    arrays = start(data.features.shape[1], course)
    for stop in range(course.rounds):
        arrays = fit(
            arrays, data, build_task(course, arrays, course.epochs, seed=0), course.seed + stop, course.dropout
        )
        yield arrays


def choose_model(models: Iterable[Arrays], kept_back: Sequence[Data]) -> Arrays:
    """The one with the highest average precision on what was kept back, the mean over who kept it; nobody trained on that.

    Each model: for each layer weights (inputs, units) and a bias (units,), float32.
    """
    judges = [own for own in kept_back if own.labels.any()]
    return max(
        models, key=lambda arrays: sum(average_precision(predict(arrays, own.features), own.labels) for own in judges)
    )


def evaluate_alone(data: Data, course: Course, evaluate: Callable[[Arrays], dict[str, float]]) -> dict[str, float]:
    """Its figures."""
    return evaluate(train_alone(data, course))


def evaluate_central(
    banks: Mapping[str, Bank], course: Course, evaluate: Callable[[Arrays], dict[str, float]], *, every: int
) -> list[dict[str, float]]:
    """Figures of one model on everybody's examples, after each `every` epochs, up to as many as all rounds together.

    Adam begins again at each of these stops, as it does for the banks with each round.
    """
    data = join_parts([bank.own for bank in banks.values()])
    arrays = start(data.features.shape[1], course)
    found = []
    for stop in range(course.rounds * course.epochs // every):
        arrays = fit(arrays, data, build_task(course, arrays, every, seed=0), course.seed + stop, course.dropout)
        found.append(evaluate(arrays))
    return found


def make_evaluation(test: Data) -> Callable[[Arrays], dict[str, float]]:
    """The measures on a held-out set; accuracy at even odds where the model knows no prior."""

    def evaluate(arrays: Arrays) -> dict[str, float]:
        return measure(predict(arrays, test.features), test.labels)

    return evaluate


def keep_models(
    evaluate: Callable[[Arrays], dict[str, float]], models: list[Arrays]
) -> Callable[[Arrays], dict[str, float]]:
    """`evaluate`, which also keeps every model it was given.

    Each model: for each layer weights (inputs, units) and a bias (units,), float32.
    """

    def kept(arrays: Arrays) -> dict[str, float]:
        models.append(arrays)
        return evaluate(arrays)

    return kept


def find_data_file(name: str) -> Path:
    """A file of the data folder; raises ConfigurationError where it is absent."""
    file = Path(os.environ.get("TILLGUARD_DATA", "../shared/data")) / name
    if not file.exists():
        raise ConfigurationError([f"{file} does not exist; TILLGUARD_DATA names the folder it is in"])
    return file


def say(text: str) -> None:
    """Progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)
