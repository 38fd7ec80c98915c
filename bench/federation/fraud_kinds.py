"""Three retailers, each of which has only ever seen one kind of fraud, tested on all kinds.

The Handbook's payments by terminal; until the training ends, two of the three scenarios' frauds never happened to a retailer: they are
in no example and no window. Afterwards, all do. F1 at even odds, with
no threshold chosen: each retailer calibrates its own model on the newest of its training examples, which nothing was trained on, and the
federation's and the central one are calibrated by sums over those of all (bench/federation/calibration.py). By the same examples the round is
chosen whose model counts: a retailer would not serve a later one that is worse.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.federation import trial
from bench.federation.calibration import calibrate
from bench.federation.card import Judged, judge
from bench.federation.handbook import (
    GENUINE_STEP,
    QUICK_COURSE,
    Shop,
    build_bank,
    build_shops,
    divide_by_terminal,
    prepare,
)
from bench.federation.local import Course
from bench.handbook.protocol import SCENARIOS, Payments
from bench.table import Row, compute_ratio
from federation.learning.learner import Arrays
from federation.learning.numpy_learner import Data
from federation.simulation.data import join_parts

COURSE = Course(rounds=20, epochs=1)
"""Retailers that know different things drift apart in a round: rather more rounds than longer ones."""
UPLIFT_MIN = 0.26
ALL_GENUINE = -math.log(GENUINE_STEP)
"""What is added to a logit learned from every GENUINE_STEP-th genuine payment, where all of them are judged."""


def select_one_kind(own: Payments, kind: int, until: int) -> Payments:
    """Without the frauds of other kinds before the day `until`: neither they nor their labels are in any window."""
    other = own.fraud & (own.scenario != kind) & (own.day < until)
    return own.select(np.flatnonzero(~other))


def choose_best(models: Iterable[Arrays], kept_back: Sequence[Data]) -> list[NDArray[np.float32]]:
    """Of the models after each round the one that counts, calibrated.

    For each layer weights (inputs, units) and a bias (units,), float32.
    """
    return calibrate(trial.choose_model(models, kept_back), kept_back)


class Outcome(NamedTuple):
    """Of one fold."""

    alone: list[Judged]
    """Of each retailer's own model."""
    together: Judged
    central: Judged
    recalls: dict[int, list[float]]
    """By scenario: of each alone, then of all together."""

    @property
    def local(self) -> float:
        """F1 alone, mean over retailers."""
        return fmean(one.f1 for one in self.alone)


def run(shops: list[Shop], course: Course, title: str) -> Outcome:
    """Each alone, together, in one place."""
    banks = {f"shop-{number}": build_bank(shop.train) for number, shop in enumerate(shops)}
    everything, test = join_parts([one.own for one in banks.values()]), join_parts([shop.test for shop in shops])
    kinds = np.concatenate([shop.test_kinds for shop in shops])
    models: list[Arrays] = []
    rounds = trial.build_advised_settings(course, trial.compute_fraud_share(banks))
    trial.run_federation(title, banks, rounds, course, trial.keep_models(trial.make_evaluation(test), models))
    kept_back = [one.newest for one in banks.values()]
    alone = [choose_best(trial.train_by_round(one.own, course), [one.newest]) for one in banks.values()]
    together, central = (choose_best(found, kept_back) for found in (models, trial.train_by_round(everything, course)))
    recalls = {}
    for kind in SCENARIOS:
        rows = kinds == kind
        only = Data(test.features[rows], test.labels[rows])
        recalls[kind] = [
            *(judge(one, only, ALL_GENUINE).recall for one in alone),
            judge(together, only, ALL_GENUINE).recall,
        ]
    return Outcome(
        [judge(one, test, ALL_GENUINE) for one in alone],
        judge(together, test, ALL_GENUINE),
        judge(central, test, ALL_GENUINE),
        recalls,
    )


def measure(*, quick: bool, features: Path | None = None) -> list[Row]:
    """Means over the book's folds, then each."""
    payments, folds = prepare(quick=quick)
    course, kinds = QUICK_COURSE if quick else COURSE, list(SCENARIOS)
    found: dict[str, Outcome] = {}
    for fold in folds:

        def lived(number: int, own: Payments, until: int = fold.known_until) -> Payments:
            return select_one_kind(own, kinds[number], until)

        shops = build_shops(divide_by_terminal(payments, len(kinds), features, lived=lived), fold)
        found[str(fold)] = run(shops, course, f"fold {fold}")
    together = fmean(one.together.f1 for one in found.values())
    local = fmean(one.local for one in found.values())
    central = fmean(one.central.f1 for one in found.values())
    rows = [
        Row(
            "federation, F1 on all kinds; baseline: alone", together, "", local, compute_ratio(together, local),
            None if quick else f">= alone + {UPLIFT_MIN:g}", None if quick else together >= local + UPLIFT_MIN,
        ),
        Row("central, F1 on all kinds", central, ""),
    ]  # fmt: skip
    return rows + [row for title, one in found.items() for row in _rows(title, one)]


def _rows(fold: str, found: Outcome) -> list[Row]:
    together, central = found.together, found.central
    rows = [
        Row(f"fold {fold}, federation, F1; baseline: alone", together.f1, "", found.local),
        Row(
            f"fold {fold}, federation, F1; baseline: central",
            together.f1,
            "",
            central.f1,
            compute_ratio(together.f1, central.f1),
        ),
        Row(
            f"fold {fold}, average precision; baseline: central",
            together.ap,
            "",
            central.ap,
            compute_ratio(together.ap, central.ap),
        ),
    ]
    for kind, one in zip(SCENARIOS, found.alone, strict=True):
        rows.append(Row(f"fold {fold}, alone, knows only: {SCENARIOS[kind]}; F1 on all kinds", one.f1, "", together.f1))
    for kind, values in found.recalls.items():
        unseen = fmean(value for place, value in enumerate(values[:-1], 1) if place != kind)
        rows.append(
            Row(f"fold {fold}, recall of {SCENARIOS[kind]}; baseline: who never saw it, alone", values[-1], "", unseen)
        )
    return rows
