"""Real card payments (ULB and Worldline, amounts cut to integers) at five institutions that differ.

The file has no times, so the test set is drawn at random, each class alike; a model must say fraud or not at even odds, with no threshold
chosen on anybody's data: a federated model knows no prior, so each institution adds its own log prior odds, as it does in training.
"""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

import numpy as np
from pyarrow import parquet

from bench.federation import trial
from bench.federation.local import Course
from bench.federation.trial import Bank
from bench.table import Row, compute_ratio
from contract.statistics.ranking import average_precision
from federation.learning.learner import Arrays
from federation.learning.numpy_learner import Data, predict
from federation.simulation.data import divide, join_parts
from federation.simulation.simulation import Results

FILE = "creditcard-truncated.parquet"
INSTITUTIONS = 5
SKEW = 0.5
TEST_SHARE = 0.2
COURSE, QUICK_COURSE = Course(rounds=10, epochs=5), Course(rounds=2, epochs=1)
QUICK_GENUINE = 4_000
PARTITIONS = 3
GAP_MAX = 0.02


class Judged(NamedTuple):
    """On the test set, at even odds."""

    ap: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float:
        """0 where nothing is said to be a fraud."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)

    @property
    def recall(self) -> float:
        """Of the frauds."""
        return self.true_positives / max(self.true_positives + self.false_negatives, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.true_positives / max(2 * self.true_positives + self.false_positives + self.false_negatives, 1)


class Outcome(NamedTuple):
    """Of one division among institutions."""

    results: Results
    ours: Judged
    central: Judged
    alone: list[Judged]


def load_data(genuine_max: int | None) -> tuple[Data, Data]:
    """Training and test set, standardised by the training set's statistics."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - seconds that no other function needs
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    table = parquet.read_table(trial.find_data_file(FILE))
    names = [name for name in table.column_names if name.startswith("V") or name == "Amount"]
    features = np.stack([np.asarray(table[name], dtype=np.float64) for name in names], axis=1)
    labels = np.asarray(table["Class"]).astype(bool)
    if genuine_max is not None:
        kept = np.sort(np.concatenate([np.flatnonzero(labels), np.flatnonzero(~labels)[:genuine_max]]))
        features, labels = features[kept], labels[kept]
    train, test, train_labels, test_labels = train_test_split(
        features, labels, test_size=TEST_SHARE, stratify=labels, random_state=7
    )
    scaler = StandardScaler().fit(train)
    return (
        Data(scaler.transform(train).astype(np.float32), train_labels),
        Data(scaler.transform(test).astype(np.float32), test_labels),
    )


def compute_log_odds(labels: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> float:
    """Of the frauds among them."""
    share = float(np.clip(labels.mean(), 1e-6, 1 - 1e-6))
    return math.log(share / (1 - share))


def judge(arrays: Arrays, test: Data, offset: float = 0.0) -> Judged:
    """What the model says of the test set where `offset` is added to its logit.

    `arrays`: for each layer weights (inputs, units) and a bias (units,).
    """
    scores = predict([*arrays[:-1], arrays[-1] + np.float32(offset)], test.features)
    said = scores >= 0.5
    truth = test.labels
    return Judged(
        average_precision(scores, truth),
        int((said & truth).sum()),
        int((said & ~truth).sum()),
        int((~said & truth).sum()),
        int((~said & ~truth).sum()),
    )


def run(banks: Mapping[str, Bank], test: Data, course: Course, title: str) -> Outcome:
    """One division: together, in one place, and each alone."""
    everything = join_parts([bank.own for bank in banks.values()])
    models: list[Arrays] = []
    rounds = trial.build_advised_settings(course, trial.compute_fraud_share(banks))
    results = trial.run_federation(title, banks, rounds, course, trial.keep_models(trial.make_evaluation(test), models))
    return Outcome(
        results,
        judge(models[-1], test, compute_log_odds(everything.labels)),
        judge(trial.train_alone(everything, course), test),
        [judge(trial.train_alone(bank.own, course), test) for bank in banks.values() if bank.own.labels.any()],
    )


def measure(*, quick: bool) -> list[Row]:
    """Means over the divisions first, then each."""
    course = QUICK_COURSE if quick else COURSE
    train, test = load_data(QUICK_GENUINE if quick else None)
    outcomes = [
        run(
            trial.build_banks(divide(train, INSTITUTIONS, SKEW, seed=number), number),
            test,
            course,
            f"division {number}",
        )
        for number in range(1 if quick else PARTITIONS)
    ]
    rows: list[Row] = []
    for name, text in (("f1", "F1"), ("ap", "average precision"), ("precision", "precision"), ("recall", "recall")):
        ours, central = (
            fmean(getattr(one, name) for one in each)
            for each in zip(*((one.ours, one.central) for one in outcomes), strict=True)
        )
        told = name == "f1" and not quick
        rows.append(
            Row(
                f"federation, {text}, mean", ours, "", central, compute_ratio(ours, central),
                f">= central - {GAP_MAX:g}" if told else None, ours >= central - GAP_MAX if told else None,
            )
        )  # fmt: skip
    best = max(max(judged.f1 for judged in one.alone) for one in outcomes)
    below = all(max(judged.f1 for judged in one.alone) < one.ours.f1 for one in outcomes)
    rows.append(
        Row(
            "best institution alone, F1",
            best,
            "",
            target=None if quick else "below its federation",
            holds=None if quick else below,
        )
    )
    for number, one in enumerate(outcomes):
        rows += _details(f"division {number}", one)
    return rows


def _details(where: str, one: Outcome) -> list[Row]:
    rows = [
        Row(f"{where}, {who}, {name.replace('_', ' ')}", getattr(judged, name), "")
        for who, judged in (("federation", one.ours), ("central", one.central))
        for name in ("f1", "ap", *Judged._fields[1:])
    ]
    rows += [
        Row(f"{where}, institution {place} alone, F1", judged.f1, "", one.ours.f1, None)
        for place, judged in enumerate(one.alone)
    ]
    for facts in one.results.rounds:
        rows.append(Row(f"{where}, round {facts.round}, bytes up of all", facts.bytes_up, "bytes"))
        rows.append(Row(f"{where}, round {facts.round}, processor time", facts.cpu_s, "s"))
    return rows
