"""Retailers that share the Handbook's payments by terminal: what each serves with the federation, and without it.

The book's weeks (bench/handbook/protocol.py). Each retailer's features come from a replay of its own payments and its own labels, these
behind their delay: none sees another's windows or frauds. A retailer serves what its gate chose, judged by its own newest
training examples, and so does the local model that stands alongside: the best of its rounds. The test week is judged afterwards. Twice: with
the book's one week to learn from, and with all that is known. Of the genuine payments of all history each takes every fourth, with the
federation and without: it is frauds that there are too few of.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.federation import inputs, trial
from bench.federation.local import Course
from bench.federation.trial import Bank
from bench.handbook import data, protocol
from bench.handbook.protocol import FIRST_FOLD, FOLDS, TRAIN_DAYS, Fold, Payments
from bench.table import Row
from contract.features import get_schema_hash
from federation.learning.learner import Arrays, Learner
from federation.learning.numpy_learner import Data, NumpyLearner
from federation.simulation.data import join_parts
from trainer.examples.spool import Spool

RETAILERS = 5
COURSE, QUICK_COURSE = Course(rounds=40, epochs=1, learning_rate=1e-3), Course(rounds=2, epochs=1)
"""For all history. Rounds and rate were chosen on three weeks before the book's (first training weeks 2018-06-13, 06-20 and 06-27): with
fewer rounds, or half the rate, the common model had not learned all it could."""
WEEK = Course(rounds=10, epochs=5)
"""For the book's one week of training, a twentieth of all history: as many epochs as in the other sections."""
LONGER = 2
"""A retailer alone learns for this many times as many epochs: it has fewer examples, and time to find its best model."""
QUICK_DAYS, QUICK_ROWS = 21, 30_000
NEWEST = 0.15
"""Of a retailer's training examples: the gate's."""
GENUINE_STEP = 4
"""Every this many-th genuine training example of all history is taken."""
GAIN_MIN, GAP_MAX = 0.03, 0.01


class Shop(NamedTuple):
    """One retailer's payments of a fold."""

    train: Data
    test: Data
    test_kinds: NDArray[np.int64]
    """The fraud's scenario, 0 for genuine ones."""


def prepare(*, quick: bool) -> tuple[Payments, list[Fold]]:
    """The payments and the folds; quick: one fold, a short history, few customers."""
    payments = data.read(trial.find_data_file("handbook.parquet"))
    folds = protocol.build_folds(FIRST_FOLD, 1 if quick else FOLDS)
    if quick:
        short = payments.select(payments.find_days(folds[0].train_from - QUICK_DAYS, folds[0].test_until))
        payments = short.thin(QUICK_ROWS)
    return payments, folds


class Retailer(NamedTuple):
    """One that shares the Handbook's payments, and their features as it would have served them."""

    payments: Payments
    features: NDArray[np.float32]


def divide_by_terminal(
    payments: Payments,
    retailers: int,
    kept: Path | None = None,
    *,
    lived: Callable[[int, Payments], Payments] = lambda _, own: own,
) -> list[Retailer]:
    """Terminals are dealt out in turn. Features that an earlier run left in the folder `kept` are taken from there.

    `lived` says what of its payments a retailer, by its number, went through.
    """
    found = []
    for number in range(retailers):
        own = lived(number, payments.select(np.flatnonzero(payments.terminal % retailers == number)))
        found.append(Retailer(own, _featured(own) if kept is None else _once(own, kept)))
        trial.say(f"features of retailer {number}: {len(own):,} payments")
    return found


def _featured(own: Payments) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory(prefix="tillguard-federation-") as folder, Spool(Path(folder)) as spool:
        return np.array(data.compute_examples(own, spool).features)


def _once(own: Payments, kept: Path) -> NDArray[np.float32]:
    """Named after what it was made of, but for the code: who changes that takes another folder."""
    digest = hashlib.sha256(get_schema_hash().encode())
    for column in (own.time_ms, own.customer, own.terminal, own.amount_minor, own.fraud):
        digest.update(np.ascontiguousarray(column).tobytes())
    file = kept / f"{digest.hexdigest()[:32]}.npy"
    if not file.exists():
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part.npy")
        np.save(unfinished, _featured(own))
        unfinished.replace(file)
    found: NDArray[np.float32] = np.load(file, mmap_mode="r")
    return found


def build_shops(retailers: list[Retailer], fold: Fold, history_days: int | None = None) -> list[Shop]:
    """The fold's examples, as inputs of the network; `history_days`: learned from this many, all of them; None: all history, thinned."""
    step = GENUINE_STEP if history_days is None else 1
    learned = [
        _thinned(own.payments, protocol.select_learned(own.payments, fold, history_days), step) for own in retailers
    ]
    known = [own.features[rows] for own, rows in zip(retailers, learned, strict=True)]
    columns = inputs.find_telling_columns(known)
    form = inputs.build_form(columns)
    shops = []
    for own, rows, features in zip(retailers, learned, known, strict=True):
        tested = np.concatenate(protocol.select_test_days(own.payments, fold))
        train = inputs.compute_inputs(features[:, columns], form)
        test = inputs.compute_inputs(own.features[tested][:, columns], form)
        payments = own.payments
        shops.append(
            Shop(
                Data(train, payments.fraud[rows]),
                Data(test, payments.fraud[tested]), payments.scenario[tested],
            )
        )  # fmt: skip
    return shops


def _thinned(own: Payments, learned: slice, step: int) -> NDArray[np.int64]:
    """All frauds, and every `step`-th genuine payment."""
    rows = np.arange(learned.start, learned.stop)
    genuine = rows[~own.fraud[rows]]
    return np.sort(np.concatenate((rows[own.fraud[rows]], genuine[::step])))


def build_bank(train: Data) -> Bank:
    """The oldest examples are trained on, the newest judge."""
    cut = round(len(train.labels) * (1 - NEWEST))
    return Bank(Data(train.features[:cut], train.labels[:cut]), Data(train.features[cut:], train.labels[cut:]))


class Outcome(NamedTuple):
    """Of one fold: average precision on each retailer's test week."""

    local: list[float]
    served: list[float]
    common: list[float]
    """Of the last common model, whoever took it."""
    central: list[float]
    choices: list[str]


def run(shops: list[Shop], course: Course, title: str) -> Outcome:
    """Alone, with the federation, and in one place."""
    banks: Mapping[str, Bank] = {f"shop-{number}": build_bank(shop.train) for number, shop in enumerate(shops)}
    learners: dict[str, NumpyLearner] = {}
    alone: list[Arrays] = []
    longer = course._replace(rounds=LONGER * course.rounds)

    def learner(name: str, own: Bank) -> Learner:
        learners[name] = NumpyLearner(own.own, own.newest, seed=len(learners), dropout=course.dropout)
        learners[name].serving = list(trial.choose_model(trial.train_by_round(own.own, longer), [own.newest]))
        alone.append(list(learners[name].serving or ()))
        return learners[name]

    everyone = join_parts([shop.test for shop in shops])
    rounds = trial.build_advised_settings(course, trial.compute_fraud_share(banks))
    models: list[Arrays] = []
    judge = trial.keep_models(trial.make_evaluation(everyone), models)
    results = trial.run_federation(title, banks, rounds, course, judge, learner=learner)
    everything = join_parts([one.own for one in banks.values()])
    central = trial.choose_model(trial.train_by_round(everything, course), [one.newest for one in banks.values()])
    served = [one.serving or [] for one in learners.values()]

    def precisions(models: Sequence[Arrays]) -> list[float]:
        return [trial.make_evaluation(shop.test)(model)["ap"] for model, shop in zip(models, shops, strict=True)]

    choices = [one.adopted for one in results.participants]
    common = precisions([models[-1]] * len(shops))
    return Outcome(precisions(alone), precisions(served), common, precisions([central] * len(shops)), choices)


def measure(*, quick: bool, features: Path | None = None) -> list[Row]:
    """By what is learned from: means over retailers and folds, then each."""
    payments, folds = prepare(quick=quick)
    retailers = divide_by_terminal(payments, RETAILERS, features)
    return [
        row
        for title, days, course in (("7 days", TRAIN_DAYS, WEEK), ("all history", None, COURSE))
        for row in _rows(
            title,
            {
                str(fold): run(
                    build_shops(retailers, fold, days), QUICK_COURSE if quick else course, f"{title}, {fold}"
                )
                for fold in folds
            },
            judged=not quick,
        )
    ]


def _rows(history: str, found: Mapping[str, Outcome], *, judged: bool) -> list[Row]:
    local = fmean(fmean(one.local) for one in found.values())
    served = fmean(fmean(one.served) for one in found.values())
    central = fmean(fmean(one.central) for one in found.values())
    common = fmean(fmean(one.common) for one in found.values())
    gains = [mine - before for one in found.values() for mine, before in zip(one.served, one.local, strict=True)]

    def told(target: str, holds: bool) -> tuple[str | None, bool | None]:
        return (target, holds) if judged else (None, None)

    rows = [
        Row(f"{history}, served with federation, average precision, mean; baseline: alone", served, "", local, served / local,
            *told(f">= alone + {GAIN_MIN:g}", served >= local + GAIN_MIN)),
        Row(f"{history}, least gain of any retailer in any fold", min(gains), "", None, None,
            *told(">= 0", min(gains) >= 0)),
        Row(f"{history}, next to one model of all examples", served, "", central, served / central,
            *told(f">= central - {GAP_MAX:g}", served >= central - GAP_MAX)),
        Row(f"{history}, the last common model, whoever took it; baseline: what was served", common, "", served, common / served),
    ]  # fmt: skip
    for fold, one in found.items():
        rows += [
            Row(
                f"{history}, fold {fold}, retailer {place}, served; last decision: {one.choices[place]}",
                value,
                "",
                one.local[place],
                value / one.local[place],
            )
            for place, value in enumerate(one.served)
        ]
    return rows
