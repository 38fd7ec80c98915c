"""Detection quality on the Fraud Detection Handbook: `python -m bench.handbook [--data FILE] [--first-fold DATE] [--json FILE]`.

The book's protocol (bench/handbook/protocol.py) on the features of the streaming engine, the network as `tillguard train` makes
it and as a worker runs it (ONNX), XGBoost on the same features and the same history next to it, and the book's table. Nothing of a
test week is learned from, and no label is used before its delay.

`--incremental` learns week after week from the model before, and compares that with learning again; `--ablation` changes one part
of the model at a time. `--quick` is for CI: its figures are judged by nobody.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.handbook import ablation, data, models, protocol
from bench.handbook.models import Learned
from bench.handbook.protocol import FIRST_FOLD, FOLDS, PUBLISHED, SCENARIOS, TRAIN_DAYS, Fold, Payments, Quality
from bench.table import Row, print_table, write_json
from contract.errors import ConfigurationError, TillguardError
from contract.settings import LogSettings
from contract.statistics.ranking import auc, average_precision
from runtime import logs
from tillguard.history.replay import Progress
from trainer.examples.examples import Examples
from trainer.examples.reservoir import GENUINE
from trainer.examples.spool import Spool
from trainer.model.plan import Plan

MEASURES = {"auc_roc": "AUC ROC", "average_precision": "average precision", "card_precision": "card precision@100"}
HISTORIES: dict[str, int | None] = {"7 days": TRAIN_DAYS, "all history": None}
TARGETS = {
    "all history": {"auc_roc": 0.89, "average_precision": 0.75, "card_precision": 0.315},
    "7 days": {"average_precision": 0.71},
}
WORSE_MAX = 0.005
"""Of average precision, by which learning on may fall behind learning again."""
QUICK_DAYS, QUICK_ROWS, QUICK_EPOCHS = 14, 30_000, 3
QUICK_FOLDS = {"compare": 1, "ablation": 1, "incremental": 2}
CHANCES = 10
"""Draws by which the scores of what nobody could know are averaged."""


class Outcome(NamedTuple):
    """What a model reached in one fold."""

    fold: Fold
    quality: Quality
    scenario: dict[int, float]
    seconds: float
    """Of training."""


Results = dict[tuple[str, str], list[Outcome]]
"""By model and history, one a fold."""


class Trial:
    """Payments with their features, and the folds to try models on."""

    def __init__(self, payments: Payments, examples: Examples, known: Sequence[Fold]) -> None:
        self.payments = payments
        self.examples = examples
        self.folds = known
        self.results: Results = {}

    def judge(self, fold: Fold, model: str, history: str, made: Learned) -> None:
        """Scores the test week and keeps what came out."""
        days = protocol.select_test_days(self.payments, fold)
        scores = [made.score(np.ascontiguousarray(self.examples.features[rows])) for rows in days]
        outcome = Outcome(
            fold, measure(self.payments, days, scores), measure_by_scenario(self.payments, days, scores), made.seconds
        )
        self.results.setdefault((model, history), []).append(outcome)
        say(f"fold {fold}, {model}, {history}: {_text(outcome.quality)} ({made.seconds:.0f} s)")

    def select_known(self, fold: Fold, history_days: int | None) -> Examples:
        """What may be learned from for a fold."""
        return self.examples.select(protocol.select_learned(self.payments, fold, history_days))


def measure(payments: Payments, days: Sequence[NDArray[np.int64]], scores: Sequence[NDArray[np.floating]]) -> Quality:
    """Of one test week, by the rows and scores of its days.

    For each day rows and scores have one shape, (n,), n its number of payments.
    """
    fraud, score = payments.fraud[np.concatenate(days)], np.concatenate(scores)
    return Quality(
        auc(score, fraud), average_precision(score, fraud), protocol.compute_card_precision(payments, days, scores)
    )


def measure_by_scenario(
    payments: Payments, days: Sequence[NDArray[np.int64]], scores: Sequence[NDArray[np.floating]]
) -> dict[int, float]:
    """Average precision of each scenario's frauds among all genuine payments, where the week has such frauds.

    For each day rows and scores have one shape, (n,), n its number of payments.
    """
    scenario, score = payments.scenario[np.concatenate(days)], np.concatenate(scores)
    found = {}
    for number in SCENARIOS:
        rows = (scenario == 0) | (scenario == number)
        if (scenario == number).any():
            found[number] = average_precision(score[rows], scenario[rows] == number)
    return found


def compute_ceiling(payments: Payments, fold: Fold, seed: int) -> tuple[Quality, float]:
    """What perfect knowledge of everything but the unforeseeable frauds would reach, and their share; those get scores by chance."""
    days = protocol.select_test_days(payments, fold)
    rows = np.concatenate(days)
    hidden = protocol.find_unforeseeable(payments, rows)
    chance = np.random.default_rng(seed)
    known = np.where(payments.fraud[rows] & ~hidden, 1.0, 0.0)
    ends = np.cumsum([len(day) for day in days])[:-1]
    drawn = [measure(payments, days, np.split(known + chance.random(len(rows)), ends)) for _ in range(CHANCES)]
    return _mean(drawn), float(hidden.sum() / payments.fraud[rows].sum())


def compare(trial: Trial, plan: Plan) -> list[Row]:
    """Both models, on the training week alone and on all that was known; no rows but those of every way."""
    for fold in trial.folds:
        for history, history_days in HISTORIES.items():
            examples = trial.select_known(fold, history_days)
            trial.judge(fold, "network", history, models.learn_network(examples, plan))
            trial.judge(fold, "XGBoost", history, models.learn_xgboost(examples, plan.seed, plan.threads))
    return []


def learn_week_after_week(trial: Trial, plan: Plan) -> list[Row]:
    """Learning on from the week before, next to learning again; both from all that was known."""
    kind = np.where(trial.payments.fraud, trial.payments.scenario, GENUINE)
    before: tuple[Learned, int] | None = None
    for fold in trial.folds:
        examples = trial.select_known(fold, None)
        from_scratch = models.learn_network(examples, plan)
        trial.judge(fold, "network", "again", from_scratch)
        if before is None:
            before = from_scratch, len(examples)
            continue
        on = models.learn_further(examples, kind, before[1], plan, before[0])
        trial.judge(fold, "network", "incremental", on)
        before = on, len(examples)
    return _incremental_rows(trial.results)


def ablate(trial: Trial, plan: Plan) -> list[Row]:
    """Every variant on every fold."""
    timed: list[Row] = []
    for variant in ablation.VARIANTS:
        for fold in trial.folds:
            made = variant.make(trial.select_known(fold, variant.history_days), plan)
            trial.judge(fold, variant.name, "ablation", made)
        if made.onnx is not None:
            latencies = ablation.measure_latencies(made.onnx, trial.examples.features)
            timed += [replace(row, measure=f"{variant.name}, {row.measure}") for row in latencies]
    return timed


def _incremental_rows(results: Results) -> list[Row]:
    on = results[("network", "incremental")]
    from_scratch = results[("network", "again")][-len(on) :]
    value, baseline = (fmean(each.quality.average_precision for each in found) for found in (on, from_scratch))
    cost, full = (fmean(each.seconds for each in found) for found in (on, from_scratch))
    return [
        Row(
            "incremental, average precision, mean of the later folds", value, "", baseline, value / baseline,
            f">= again - {WORSE_MAX}", value >= baseline - WORSE_MAX,
        ),
        Row("incremental, training", cost, "s", full, cost / full, "< 1 x", cost < full),
    ]  # fmt: skip


def build_rows(trial: Trial, seed: int, *, judged: bool) -> list[Row]:
    """Everything that was measured, against the targets where it is `judged`: means first, with targets and XGBoost's value alongside, then by scenario, then the folds."""
    rows, details = [], []
    for (model, history), found in trial.results.items():
        rows += _mean_rows(trial.results, model, history, TARGETS.get(history, {}) if judged else {})
        rows += [
            Row(f"{model}, {history}, average precision, {text}", fmean(values), "")
            for number, text in SCENARIOS.items()
            if (values := [each.scenario[number] for each in found if number in each.scenario])
        ]
        rows.append(Row(f"{model}, {history}, training", fmean(each.seconds for each in found), "s"))
        details += [
            Row(f"{model}, {history}, {text}, fold {each.fold}", getattr(each.quality, name), "")
            for each in found
            for name, text in MEASURES.items()
        ]
    return rows + _ceiling_rows(trial, seed) + details


def _mean_rows(results: Results, model: str, history: str, targets: dict[str, float]) -> list[Row]:
    """The network next to its targets and next to XGBoost, where that learned from the same."""
    other = results.get(("XGBoost", history)) if model == "network" else None
    rows = []
    for name, text in MEASURES.items():
        value = getattr(_mean_of(results[(model, history)]), name)
        baseline = getattr(_mean_of(other), name) if other else None
        target = targets.get(name) if model == "network" else None
        rows.append(
            Row(
                f"{model}, {history}, {text}", value, "", baseline, value / baseline if baseline else None,
                None if target is None else f">= {target:g}", None if target is None else value >= target,
            )
        )  # fmt: skip
    return rows


def _ceiling_rows(trial: Trial, seed: int) -> list[Row]:
    found = [compute_ceiling(trial.payments, fold, seed) for fold in trial.folds]
    mean = _mean([quality for quality, _ in found])
    rows = [Row("frauds that no label could announce, share", fmean(share for _, share in found), "")]
    return rows + [
        Row(f"ceiling: those by chance, all others known, {text}", getattr(mean, name), "")
        for name, text in MEASURES.items()
    ]


def print_beside_published(results: Results) -> None:
    """The book's table, and below it what was measured here."""
    table = Table("mean over the folds", *MEASURES.values())
    for name, quality in PUBLISHED.items():
        table.add_row(f"{name}, published", *(f"{value:.3f}" for value in quality))
    table.add_section()
    for (model, history), found in results.items():
        table.add_row(f"{model}, {history}", *(f"{value:.4f}" for value in _mean_of(found)))
    Console(width=110).print(table)


def prepare(options: argparse.Namespace) -> tuple[Payments, list[Fold]]:
    """The payments and the folds; raises ConfigurationError where the file is not what the protocol needs."""
    standard = Path(os.environ.get("TILLGUARD_DATA", "../shared/data")) / "handbook.parquet"
    payments = data.read(options.data or standard)
    known = protocol.build_folds(options.first_fold, QUICK_FOLDS[options.way] if options.quick else FOLDS)
    if options.data is None and options.first_fold == FIRST_FOLD:
        faults = protocol.find_differences(payments, protocol.build_folds(FIRST_FOLD))
        if faults:
            raise ConfigurationError([f"{standard} is not the book's data: {fault}" for fault in faults])
        say("the row and fraud counts are the book's")
    first = known[0].train_from - QUICK_DAYS if options.quick else int(payments.day[0]) if len(payments) else 0
    payments = payments.select(payments.find_days(first, known[-1].test_until))
    if options.quick:
        payments = payments.thin(QUICK_ROWS)
    faults = [f"fold {fold}: {fault}" for fold in known if (fault := describe_lack(payments, fold))]
    if faults:
        raise ConfigurationError(faults)
    for fold in known:
        count = protocol.count_test_week(payments, fold)
        say(f"fold {fold}: tested on {count.test_transactions:,} payments with {count.test_frauds:,} frauds")
    return payments, known


def describe_lack(payments: Payments, fold: Fold) -> str | None:
    """Why a fold cannot be tried on these payments, or None."""
    week = payments.find_days(fold.train_from, fold.known_until)
    if not payments.fraud[week].any():
        return "its training week holds no fraud"
    if not len(payments.fraud[payments.find_days(fold.test_until - 1, fold.test_until)]):
        return "the file ends before its test week does"
    if not protocol.count_test_week(payments, fold).test_frauds:
        return "its test week holds no fraud"
    return None


WAYS: dict[str, Callable[[Trial, Plan], list[Row]]] = {
    "compare": compare,
    "incremental": learn_week_after_week,
    "ablation": ablate,
}


def say(text: str) -> None:
    """Progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def _progress(total: int) -> Progress:
    shown = 0

    def told(done: int) -> None:
        nonlocal shown
        if done - shown >= 100_000 or done == total:
            shown = done
            say(f"features of {done:,} of {total:,} payments")

    return told


def _mean(found: Sequence[Quality]) -> Quality:
    return Quality(*(fmean(values) for values in zip(*found, strict=True)))


def _mean_of(found: Sequence[Outcome]) -> Quality:
    return _mean([each.quality for each in found])


def _text(quality: Quality) -> str:
    return ", ".join(f"{text} {getattr(quality, name):.4f}" for name, text in MEASURES.items())


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.handbook", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="the Handbook's Parquet file; default: handbook.parquet in TILLGUARD_DATA"
    )
    parser.add_argument(
        "--first-fold", type=date.fromisoformat, default=FIRST_FOLD, help="first day of the first training week"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one fold, a short history, few customers: to see that it works"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--incremental",
        dest="way",
        action="store_const",
        const="incremental",
        default="compare",
        help="learn week after week from the model before, and compare with learning again",
    )
    way.add_argument(
        "--ablation", dest="way", action="store_const", const="ablation", help="what each part of the model brings"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of training")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse_options(arguments)
    logs.configure(LogSettings(level="WARNING"))
    plan = Plan(seed=options.seed, epochs_max=QUICK_EPOCHS if options.quick else 30, threads=options.threads)
    try:
        payments, known = prepare(options)
        with tempfile.TemporaryDirectory(prefix="tillguard-handbook-") as folder, Spool(Path(folder)) as spool:
            examples = data.compute_examples(payments, spool, _progress(len(payments)))
            trial = Trial(payments, examples, known)
            extra = WAYS[options.way](trial, plan)
            rows = [*extra, *build_rows(trial, options.seed, judged=not options.quick)]
    except TillguardError as error:
        say(str(error))
        return 2 if isinstance(error, ConfigurationError) else 1
    print_beside_published(trial.results)
    print_table(rows)
    if options.json:
        write_json(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
