"""Ten banks with unequal shares of one made-up data set, a small network, ten rounds: the setting of a well-known tutorial.

Next to the federation stand a central training on all banks' examples (its best point is what is compared with), every bank
alone, and plain FedAvg, each for as many epochs. `--kafka HOST:PORT` runs the first partition over a real broker and in memory, and
compares them round by round. Accuracy is at even odds, and the federated model knows no prior.
"""

from statistics import fmean
from typing import NamedTuple

import numpy as np

from bench.federation import trial
from bench.federation.kafka import KafkaFederation
from bench.federation.local import Course
from bench.federation.trial import Bank
from bench.table import Row
from federation.learning.numpy_learner import Data
from federation.simulation.data import divide
from federation.simulation.simulation import Results, make_willing

BANKS = 10
SKEW = 0.35
PARTITIONS = 5
EXAMPLES, QUICK_EXAMPLES = 60_000, 6_000
TEST_SHARE = 0.2
COURSE, QUICK_COURSE = Course(rounds=10, epochs=5), Course(rounds=2, epochs=2)
OF_CENTRAL_MIN = 0.98
CENTRAL_EVERY = 5
ALONE_EXAMPLES_MIN = 10
SAME = 0.002
"""Average precision: the coins that round the masked sums fall differently, and training continues from there."""


class Outcome(NamedTuple):
    """Of one partition, average precision."""

    ours: Results
    plain: Results
    plain_short: Results
    """With one local epoch."""
    central: float
    """At its best point."""
    alone: list[float]


def generate_data(examples: int) -> tuple[Data, Data]:
    """Training and test set, standardised by the training set's statistics."""
    from sklearn.datasets import make_classification  # noqa: PLC0415 - seconds that no other function needs
    from sklearn.model_selection import train_test_split  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    features, labels = make_classification(
        n_samples=examples, n_features=30, n_informative=18, n_redundant=8, weights=[0.985, 0.015], class_sep=1.5,
        flip_y=0.01, random_state=7,
    )  # fmt: skip
    train, test, train_labels, test_labels = train_test_split(
        features, labels.astype(bool), test_size=TEST_SHARE, stratify=labels, random_state=7
    )
    scaler = StandardScaler().fit(train)
    return (
        Data(scaler.transform(train).astype(np.float32), train_labels),
        Data(scaler.transform(test).astype(np.float32), test_labels),
    )


def draw_banks(train: Data, number: int) -> dict[str, Bank]:
    """The banks of one draw."""
    return trial.build_banks(divide(train, BANKS, SKEW, seed=number), seed=number)


def run(train: Data, test: Data, number: int, course: Course) -> Outcome:
    """Everything that one partition is tried with."""
    banks, evaluate = draw_banks(train, number), trial.make_evaluation(test)
    short = course._replace(epochs=1)
    return Outcome(
        ours=trial.run_federation(f"partition {number}", banks, trial.build_advised_settings(course), course, evaluate),
        plain=trial.run_federation(
            f"partition {number}, plain FedAvg", banks, trial.build_plain_settings(course), course, evaluate
        ),
        plain_short=trial.run_federation(
            f"partition {number}, 1 epoch", banks, trial.build_plain_settings(short), short, evaluate
        ),
        central=max(
            one["ap"]
            for one in trial.evaluate_central(banks, course, evaluate, every=min(CENTRAL_EVERY, course.epochs))
        ),
        alone=[
            trial.evaluate_alone(bank.own, course, evaluate)["ap"]
            for bank in banks.values()
            if len(bank.own.labels) >= ALONE_EXAMPLES_MIN
        ],
    )


def run_over_kafka(
    banks: dict[str, Bank], course: Course, test: Data, bootstrap_servers: str
) -> list[dict[str, float]]:
    """The first partition's figures after each round, over a real broker."""
    settings = make_willing(trial.build_advised_settings(course)).model_copy(
        update={"bootstrap_servers": bootstrap_servers}
    )
    learners = {name: trial.build_learner(course, name, bank) for name, bank in banks.items()}
    with KafkaFederation(
        settings, learners, trial.build_first_model(banks, course), trial.make_evaluation(test)
    ) as made:
        return made.run(course.rounds)


def measure_over_kafka(train: Data, test: Data, course: Course, bootstrap_servers: str) -> list[Row]:
    """Round by round, the memory's figure alongside."""
    banks = draw_banks(train, 0)
    memory = trial.run_federation(
        "in memory", banks, trial.build_advised_settings(course), course, trial.make_evaluation(test)
    ).rounds
    found = run_over_kafka(banks, course, test, bootstrap_servers)
    return [
        Row(
            f"over Kafka, round {number}, ap", figures["ap"], "", facts.figures["ap"],
            figures["ap"] / facts.figures["ap"], f"+- {SAME:g}", abs(figures["ap"] - facts.figures["ap"]) <= SAME,
        )
        for number, (figures, facts) in enumerate(zip(found, memory, strict=True), 1)
    ]  # fmt: skip


def measure(*, quick: bool, kafka: str | None = None) -> list[Row]:
    """Means over the partitions first, then each."""
    course = QUICK_COURSE if quick else COURSE
    train, test = generate_data(QUICK_EXAMPLES if quick else EXAMPLES)
    if kafka is not None:
        return measure_over_kafka(train, test, course, kafka)
    outcomes = [run(train, test, number, course) for number in range(1 if quick else PARTITIONS)]
    ours, central = fmean(trial.get_final_figure(one.ours) for one in outcomes), fmean(one.central for one in outcomes)
    best_alone = max(max(one.alone) for one in outcomes)
    target, holds = (None, None) if quick else (f">= {OF_CENTRAL_MIN:g} x", ours >= OF_CENTRAL_MIN * central)
    return [
        Row("federation, average precision, mean", ours, "", central, ours / central, target, holds),
        *(
            Row(f"federation, {figure}, mean", fmean(trial.get_final_figure(one.ours, figure) for one in outcomes), "")
            for figure in ("auc", "accuracy")
        ),
        _compared("plain FedAvg, average precision, mean", [trial.get_final_figure(one.plain) for one in outcomes], central),
        _compared("plain FedAvg, 1 local epoch, mean", [trial.get_final_figure(one.plain_short) for one in outcomes], central),
        Row(
            "best bank alone of all partitions", best_alone, "", ours, best_alone / ours,
            None if quick else "below its federation",
            None if quick else all(max(one.alone) < trial.get_final_figure(one.ours) for one in outcomes),
        ),
        *(row for number, one in enumerate(outcomes) for row in _details(number, one)),
    ]  # fmt: skip


def _compared(name: str, values: list[float], central: float) -> Row:
    return Row(name, fmean(values), "", central, fmean(values) / central)


def _details(number: int, one: Outcome) -> list[Row]:
    where = f"partition {number}"
    rounds = one.ours.rounds
    return [
        *(
            Row(f"{where}, round {facts.round}, {figure}", facts.figures[figure], "")
            for facts in rounds
            for figure in ("ap", "auc", "accuracy")
            if figure in facts.figures
        ),
        _compared(f"{where}, federation", [trial.get_final_figure(one.ours)], one.central),
        _compared(f"{where}, plain FedAvg", [trial.get_final_figure(one.plain)], one.central),
        Row(f"{where}, banks alone, least", min(one.alone), ""),
        Row(f"{where}, banks alone, most", max(one.alone), ""),
        Row(f"{where}, bytes up per bank and round", fmean(facts.bytes_up for facts in rounds) / BANKS, "bytes"),
        Row(f"{where}, processor time per round", fmean(facts.cpu_s for facts in rounds), "s"),
    ]
