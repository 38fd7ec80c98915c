"""The same banks, model, rounds and training code in Flower 1.41.0: what comes out, how long a round takes, what a participant sends.

The tutorial's first draw with plain FedAvg: here as a masked sum and as single updates, there with FedAvg and under SecAgg+. Flower runs
in its simulation with as many client processes as there are processors; here, too, this many train, and all else is done by one. Both
evaluate each round's model once. A round's time is that between the ends of two rounds: what starts up before is nobody's. Both sides
train with bench/federation/local.py and the same seeds, so their models differ only by how sums are rounded.
"""

import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.federation import flower_environment, local, trial
from bench.federation.local import Course
from bench.federation.pool import Pool
from bench.federation.secagg import MEMBERS, PARAMETERS, Round
from bench.federation.trial import Bank
from bench.federation.tutorial import COURSE, EXAMPLES, QUICK_EXAMPLES, draw_banks, generate_data
from bench.table import Row
from contract.errors import TillguardError
from contract.federation.settings import RobustSettings, RoundSettings
from federation.learning.numpy_learner import EXAMPLES_MIN, Data

QUICK_COURSE = Course(rounds=3, epochs=1)
QUICK_PARAMETERS = 20_000
THRESHOLD = 0.7
"""Of the shares, to open a mask under SecAgg+: three of ten may be lost, as here."""
SAME = 0.02
"""Average precision: a sum rounded otherwise, and fifty epochs continue from there."""
LIMIT_S, STARTS_MAX = 1_800.0, 5
NOT_STARTED = 75
"""Exit status of bench/federation/flower_side.py where Ray's processes did not find each other."""
ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """One federation, wherever it ran."""

    ap: float
    """After the last round; NaN without data."""
    round_s: float
    """Median wall time of a round; NaN where there is only one."""
    bytes_up: float
    """Of one participant in a round, mean."""


def summarise(rounds: Sequence[Mapping[str, float]]) -> Run:
    """Of what was noted at the end of each round: `ended_s`, `bytes_up`, and `ap` where there is data. Pure."""
    ends = [one["ended_s"] for one in rounds]
    times = [after - before for before, after in itertools.pairwise(ends)]
    return Run(
        ap=rounds[-1].get("ap", float("nan")),
        round_s=median(times) if times else float("nan"),
        bytes_up=fmean(one["bytes_up"] for one in rounds),
    )


def run_ours(title: str, banks: Mapping[str, Bank], test: Data, rounds: RoundSettings, course: Course) -> Run:
    """Coordinator and participants of this product."""
    ends: list[float] = []
    with Pool(banks, course) as pool:
        results = trial.run_federation(
            title, banks, rounds, course, trial.make_evaluation(test),
            learner=pool.make_learner, after_round=lambda: ends.append(time.perf_counter()), evaluated_apart_max=0,
        )  # fmt: skip
    return summarise(
        [
            {"ended_s": end, "ap": facts.figures["ap"], "bytes_up": facts.bytes_up / len(banks)}
            for end, facts in zip(ends, results.rounds, strict=True)
        ]
    )


def build_unmasked_settings(course: Course) -> RoundSettings:
    """Plain FedAvg of updates that the coordinator sees one by one."""
    robust = RobustSettings(rule="mean", byzantine_max=0, weight_max=1.0)
    return trial.build_plain_settings(course).model_copy(update={"mode": "robust", "robust": robust})


class Flower:
    """Runs jobs in Flower's environment."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def run(
        self,
        mode: str,
        course: Course,
        start: Sequence[NDArray[np.float32]],
        banks: Mapping[str, Bank] | None = None,
        test: Data | None = None,
    ) -> Run:
        """`mode` is fedavg or secagg. Without banks, MEMBERS clients answer with noise. Raises TillguardError.

        `start`: for each layer weights (inputs, units) and a bias (units,), float32.
        """
        # Short: the paths of Ray's sockets begin with it.
        with tempfile.TemporaryDirectory(prefix="tg") as name:
            folder = Path(name)
            (folder / "job.json").write_text(json.dumps(_job(mode, course, banks)), encoding="utf-8")
            np.savez(folder / "start.npz", *start)
            for place, bank in enumerate((banks or {}).values()):
                _store(folder / f"bank-{place}.npz", bank.own)
            if test is not None:
                _store(folder / "test.npz", test)
            self._execute(folder)
            found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return summarise(found["rounds"])

    def _execute(self, folder: Path) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "FLWR_HOME": str(folder / "flwr"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(folder),
        }
        for _ in range(STARTS_MAX):
            try:
                done = subprocess.run(  # noqa: S603 - our own program in the environment that was made for it
                    [self._python, "-m", "bench.federation.flower_side", folder],
                    env=environment, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise TillguardError(f"Flower did not come to its end in {LIMIT_S:g} s") from None
            if done.returncode == 0:
                return
            if done.returncode != NOT_STARTED:
                raise TillguardError(f"Flower ended with {done.returncode}: {done.stderr[-2000:]}")
        raise TillguardError(f"Flower's simulation did not start in {STARTS_MAX} tries: is this machine too busy?")


def _job(mode: str, course: Course, banks: Mapping[str, Bank] | None) -> dict[str, object]:
    sizes = [len(bank.own.labels) for bank in (banks or {}).values()]
    return {
        "mode": mode,
        "course": course._asdict(),
        "banks": [int(name.rsplit("-", 1)[-1]) for name in banks or {}],
        "clients": len(sizes) or MEMBERS,
        "weight_max": float(max(sizes, default=1)),
        "threshold": THRESHOLD,
        "processes": os.cpu_count() or 1,
    }


def _store(file: Path, examples: Data) -> None:
    np.savez(file, features=examples.features, labels=examples.labels)


def measure(*, quick: bool) -> list[Row]:
    """The tutorial's first draw, then a vector of 10^6 numbers."""
    course = QUICK_COURSE if quick else COURSE
    train, test = generate_data(QUICK_EXAMPLES if quick else EXAMPLES)
    # Flower has no word for a client that cannot train.
    banks = {name: bank for name, bank in draw_banks(train, 0).items() if len(bank.own.labels) >= EXAMPLES_MIN}
    flower = Flower(flower_environment.ensure_python())
    start = local.start(test.features.shape[1], course)
    runs = {}
    for name, mode in (("FedAvg", "fedavg"), ("SecAgg+", "secagg")):
        trial.say(f"Flower, {name}")
        runs[name] = flower.run(mode, course, start, banks, test)
    single = run_ours("single updates", banks, test, build_unmasked_settings(course), course)
    masked = run_ours("masked", banks, test, trial.build_plain_settings(course), course)
    trial.say("Flower, SecAgg+, one long vector")
    parameters = QUICK_PARAMETERS if quick else PARAMETERS
    vector = [np.zeros((parameters // 100, 100), np.float32)]
    theirs = flower.run("secagg", Course(rounds=1, epochs=1), vector)
    cost = Round(MEMBERS, parameters, 0, 32).run()
    return [
        *_model_rows("single updates", single, "FedAvg", runs["FedAvg"], judged=not quick),
        *_model_rows("masked", masked, "SecAgg+", runs["SecAgg+"], judged=not quick),
        _time_row("masked", masked, "FedAvg", runs["FedAvg"], judged=not quick),
        Row(
            f"masked, {parameters:,} parameters, bytes up of one; baseline: Flower, SecAgg+", cost.upload_bytes, "bytes",
            theirs.bytes_up, cost.upload_bytes / theirs.bytes_up, "<= Flower", cost.upload_bytes <= theirs.bytes_up,
        ),
    ]  # fmt: skip


def _model_rows(here: str, mine: Run, there: str, other: Run, *, judged: bool) -> list[Row]:
    return [
        Row(
            f"{here}, average precision; baseline: Flower, {there}", mine.ap, "", other.ap, mine.ap / other.ap,
            f"+- {SAME:g}" if judged else None, abs(mine.ap - other.ap) <= SAME if judged else None,
        ),
        _time_row(here, mine, there, other, judged=judged),
        Row(
            f"{here}, bytes up of one in a round; baseline: Flower, {there}", mine.bytes_up, "bytes",
            other.bytes_up, mine.bytes_up / other.bytes_up,
        ),
    ]  # fmt: skip


def _time_row(here: str, mine: Run, there: str, other: Run, *, judged: bool) -> Row:
    return Row(
        f"{here}, wall time of a round; baseline: Flower, {there}", mine.round_s, "s",
        other.round_s, mine.round_s / other.round_s,
        "<= Flower" if judged else None, mine.round_s <= other.round_s if judged else None,
    )  # fmt: skip
