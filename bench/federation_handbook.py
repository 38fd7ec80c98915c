"""Retailers that share the Handbook's payments by terminal: what each serves with the federation, and without it.

The book's weeks (bench/handbook_protocol.py). Each retailer's features come from a replay of its own payments alone: none sees another's
windows. Inputs are standardised by the mean and variance of all retailers' training examples, which are sums. A retailer serves
what its gate chose, judged by its own newest training examples; the test week is judged afterwards.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import federation_trial as trial
from bench import handbook_data
from bench import handbook_protocol as protocol
from bench.federation_trial import Bank, Course
from bench.handbook_protocol import FIRST_FOLD, FOLDS, Fold, Payments
from bench.table import Row
from federation.learner import Arrays, Learner
from federation.numpy_learner import Data, NumpyLearner
from federation.simulated_data import joined
from trainer.spool import Spool

RETAILERS = 5
COURSE, QUICK_COURSE = Course(rounds=10, epochs=3), Course(rounds=2, epochs=1)
QUICK_DAYS, QUICK_ROWS = 21, 30_000
NEWEST = 0.15
"""Of a retailer's training examples: the gate's."""
GAIN_MIN, GAP_MAX = 0.03, 0.01
EXTREME = 5.0
"""Standard deviations; a single value beyond must not steer a network."""


class Shop(NamedTuple):
    """One retailer's payments of a fold."""

    train: Data
    kinds: NDArray[np.int64]
    """Of the training examples: the fraud's scenario, 0 for genuine ones."""
    test: Data
    test_kinds: NDArray[np.int64]


def prepared(*, quick: bool) -> tuple[Payments, list[Fold]]:
    """The payments and the folds; quick: one fold, a short history, few customers."""
    payments = handbook_data.read(trial.data_file("handbook.parquet"))
    folds = protocol.folds(FIRST_FOLD, 1 if quick else FOLDS)
    if quick:
        short = payments.part(payments.days(folds[0].train_from - QUICK_DAYS, folds[0].test_until))
        payments = short.thinned(QUICK_ROWS)
    return payments, folds


def by_terminal(payments: Payments, retailers: int) -> list[tuple[Payments, NDArray[np.float32]]]:
    """Each retailer's payments and their features; terminals are dealt out in turn."""
    found = []
    for number in range(retailers):
        own = payments.part(np.flatnonzero(payments.terminal % retailers == number))
        with tempfile.TemporaryDirectory(prefix="tillguard-federation-") as folder, Spool(Path(folder)) as spool:
            found.append((own, np.array(handbook_data.featured(own, spool).features)))
        trial.say(f"features of retailer {number}: {len(own):,} payments")
    return found


def shops_of(retailers: list[tuple[Payments, NDArray[np.float32]]], fold: Fold) -> list[Shop]:
    """The fold's examples, standardised."""
    learned = [protocol.learned(own, fold, None) for own, _ in retailers]
    squeezed = [np.sign(features) * np.log1p(np.abs(features)) for _, features in retailers]
    known = np.concatenate([values[rows] for values, rows in zip(squeezed, learned, strict=True)])
    there = np.isfinite(known)
    counts = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, known, 0).sum(axis=0) / counts
    spread = np.sqrt(np.where(there, (known - mean) ** 2, 0).sum(axis=0) / counts)
    shops = []
    for (own, _), values, rows in zip(retailers, squeezed, learned, strict=True):
        # A missing value says nothing: the mean.
        scaled = np.nan_to_num((values - mean) / np.where(spread > 0, spread, 1), nan=0.0)
        scaled = np.clip(scaled, -EXTREME, EXTREME).astype(np.float32)
        tested = np.concatenate(protocol.test_days(own, fold))
        shops.append(
            Shop(
                Data(scaled[rows], own.fraud[rows]), own.scenario[rows],
                Data(scaled[tested], own.fraud[tested]), own.scenario[tested],
            )
        )  # fmt: skip
    return shops


def bank(train: Data) -> Bank:
    """The oldest examples are trained on, the newest judge."""
    cut = round(len(train.labels) * (1 - NEWEST))
    return Bank(Data(train.features[:cut], train.labels[:cut]), Data(train.features[cut:], train.labels[cut:]))


class Outcome(NamedTuple):
    """Of one fold: average precision on each retailer's test week."""

    local: list[float]
    served: list[float]
    central: list[float]
    choices: list[str]


def run(shops: list[Shop], course: Course, title: str) -> Outcome:
    """Alone, with the federation, and in one place."""
    banks: Mapping[str, Bank] = {f"shop-{number}": bank(shop.train) for number, shop in enumerate(shops)}
    learners: dict[str, NumpyLearner] = {}
    alone: list[Arrays] = []

    def learner(name: str, own: Bank) -> Learner:
        learners[name] = NumpyLearner(own.own, own.newest, seed=len(learners), dropout=course.dropout)
        learners[name].serving = trial.alone_arrays(own.own, course)
        alone.append(list(learners[name].serving or ()))
        return learners[name]

    everyone = joined([shop.test for shop in shops])
    results = trial.federated(title, banks, trial.advised(course), course, trial.judged_on(everyone), learner=learner)
    central = trial.alone_arrays(joined([one.own for one in banks.values()]), course)
    served: list[Arrays] = [one.serving or [] for one in learners.values()]

    def measured(models: Sequence[Arrays]) -> list[float]:
        return [trial.judged_on(shop.test)(model)["ap"] for model, shop in zip(models, shops, strict=True)]

    choices = [one.adopted for one in results.participants]
    return Outcome(measured(alone), measured(served), measured([central] * len(shops)), choices)


def measure(*, quick: bool) -> list[Row]:
    """Means over retailers and folds first."""
    payments, folds = prepared(quick=quick)
    retailers, course = by_terminal(payments, RETAILERS), QUICK_COURSE if quick else COURSE
    found = [run(shops_of(retailers, fold), course, f"fold {fold}") for fold in folds]
    local, served, central = (
        (fmean(fmean(values) for values in each)) for each in zip(*(one[:3] for one in found), strict=True)
    )
    gains = [mine - before for one in found for mine, before in zip(one.served, one.local, strict=True)]

    def told(target: str, holds: bool) -> tuple[str | None, bool | None]:
        return (None, None) if quick else (target, holds)

    rows = [
        Row("served with federation, average precision, mean", served, "", local, served / local,
            *told(f">= local + {GAIN_MIN:g}", served >= local + GAIN_MIN)),
        Row("least gain of any retailer in any fold", min(gains), "", None, None, *told(">= 0", min(gains) >= 0)),
        Row("beside one model of all examples", served, "", central, served / central,
            *told(f">= central - {GAP_MAX:g}", served >= central - GAP_MAX)),
    ]  # fmt: skip
    for fold, one in zip(folds, found, strict=True):
        rows += [
            Row(
                f"fold {fold}, retailer {place}, served; last decision: {one.choices[place]}",
                value,
                "",
                one.local[place],
                value / one.local[place],
            )
            for place, value in enumerate(one.served)
        ]
    return rows
