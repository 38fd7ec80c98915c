"""How small updates may be: rounds x local epochs x bits against F1, average precision and bytes, on the card payments.

Mode robust with the plain mean, since a masked update has the width of its ring. All frauds and a part of the genuine payments;
one run gives the points of all its rounds. The frontier are the points that no other beats in both bytes and average precision.
`--plot FILE` draws them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.federation import trial
from bench.federation.card import INSTITUTIONS, SKEW, compute_log_odds, judge, load_data
from bench.federation.local import Course
from bench.table import Row
from contract.federation.settings import CompressionSettings, RobustSettings, RoundSettings
from federation.learning.learner import Arrays
from federation.learning.numpy_learner import Data
from federation.numeric.compression import Bits, compress
from federation.numeric.masks import Stream
from federation.simulation.data import divide, join_parts

GENUINE, QUICK_GENUINE = 20_000, 3_000
ROUNDS, QUICK_ROUNDS = 15, 2
EPOCHS, QUICK_EPOCHS = (1, 2, 5), (1,)
BITS: tuple[Bits, ...] = (32, 16, 8, 4)
PARAMETERS = 1_000_000
BYTES_MAX: dict[Bits, float] = {8: 0.251, 4: 0.141}
"""Of float32."""
AP_LOSS_MAX = 0.002
FLOAT32_BYTES = 4


class Point(NamedTuple):
    """After a round."""

    epochs: int
    bits: Bits
    round: int
    bytes_up: int
    """Of all institutions, from the first round on."""
    ap: float
    f1: float

    def __str__(self) -> str:
        return f"{self.round} rounds x {self.epochs} epochs x {self.bits} bits"


def build_settings(course: Course, bits: Bits, fraud_share: float) -> RoundSettings:
    """As advised, with updates of this many bits."""
    return trial.build_advised_settings(course, fraud_share).model_copy(
        update={
            "mode": "robust",
            "robust": RobustSettings(rule="mean", byzantine_max=0, weight_max=1.0),
            "compression": CompressionSettings(bits=bits),
        }
    )


def measure_points(train: Data, test: Data, course: Course, bits: Bits) -> list[Point]:
    """One run."""
    banks = trial.build_banks(divide(train, INSTITUTIONS, SKEW, seed=0), 0)
    offset = compute_log_odds(join_parts([bank.own for bank in banks.values()]).labels)

    def evaluate(arrays: Arrays) -> dict[str, float]:
        found = judge(arrays, test, offset)
        return {"ap": found.ap, "f1": found.f1}

    title = f"{course.epochs} epochs, {bits} bits"
    results = trial.run_federation(
        title, banks, build_settings(course, bits, trial.compute_fraud_share(banks)), course, evaluate
    )
    sent = np.cumsum([facts.bytes_up for facts in results.rounds])
    return [
        Point(course.epochs, bits, facts.round, int(total), facts.figures["ap"], facts.figures["f1"])
        for facts, total in zip(results.rounds, sent, strict=True)
    ]


def find_frontier(points: Sequence[Point]) -> list[Point]:
    """The points that none beats in both, from the fewest bytes on."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.bytes_up, -one.ap)):
        if not found or point.ap > found[-1].ap:
            found.append(point)
    return found


def measure_widths() -> list[Row]:
    """Bytes of a long update by its bits, framing excluded."""
    vector = np.random.default_rng(7).normal(scale=0.01, size=PARAMETERS)
    rows = []
    for bits in BITS:
        size = len(compress(vector, bits, Stream(b"b" * 32)))
        share = size / (PARAMETERS * FLOAT32_BYTES)
        most = BYTES_MAX.get(bits)
        rows.append(
            Row(
                f"update of 10^6 parameters, {bits} bits", size, "bytes", PARAMETERS * FLOAT32_BYTES, share,
                f"<= {most:.1%} of float32" if most else None, share <= most if most else None,
            )
        )  # fmt: skip
    return rows


def build_loss_rows(points: Sequence[Point], epochs: Sequence[int], rounds: int, *, told: bool) -> list[Row]:
    """Average precision after the last round, the mean over the local epochs, against float32."""
    last = {(one.epochs, one.bits): one for one in points if one.round == rounds}
    rows = []
    for bits in BITS:
        value, whole = (float(np.mean([last[(each, width)].ap for each in epochs])) for width in (bits, BITS[0]))
        holds = value >= whole - AP_LOSS_MAX if told and bits in BYTES_MAX else None
        rows.append(
            Row(
                f"average precision after {rounds} rounds, {bits} bits", value, "", whole, value / whole,
                None if holds is None else f">= float32 - {AP_LOSS_MAX:g}", holds,
            )
        )  # fmt: skip
    return rows


def draw(points: Sequence[Point], file: Path) -> None:
    """Average precision over bytes, a line for each run, the frontier in black."""
    import matplotlib as mpl  # noqa: PLC0415 - only a plot needs it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 5))
    for epochs, bits in sorted({(one.epochs, one.bits) for one in points}):
        line = [one for one in points if (one.epochs, one.bits) == (epochs, bits)]
        axes.plot([one.bytes_up for one in line], [one.ap for one in line], ".-", alpha=0.5, label=f"{epochs} x {bits}")
    best = find_frontier(points)
    axes.plot([one.bytes_up for one in best], [one.ap for one in best], "k--", label="frontier")
    axes.set(xscale="log", xlabel="bytes sent by all institutions", ylabel="average precision")
    axes.legend(title="local epochs x bits", fontsize="small")
    figure.savefig(file, dpi=120, bbox_inches="tight")
    plt.close(figure)


def measure(*, quick: bool, plot: Path | None = None) -> list[Row]:
    """Widths, what they cost in average precision, the frontier, and every point."""
    rounds, epochs = (QUICK_ROUNDS, QUICK_EPOCHS) if quick else (ROUNDS, EPOCHS)
    train, test = load_data(QUICK_GENUINE if quick else GENUINE)
    points = [
        point
        for each in epochs
        for bits in BITS
        for point in measure_points(train, test, Course(rounds=rounds, epochs=each), bits)
    ]
    if plot is not None:
        draw(points, plot)
    rows = measure_widths() + build_loss_rows(points, epochs, rounds, told=not quick)
    rows += [Row(f"frontier: {one}", one.ap, "AP at", one.bytes_up) for one in find_frontier(points)]
    for one in points:
        rows += [
            Row(f"{one}, average precision", one.ap, "", one.bytes_up),
            Row(f"{one}, F1", one.f1, "", one.bytes_up),
        ]
    return rows
