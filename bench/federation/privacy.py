"""The privacy ledger against values known from other accountants; all pairs of (epsilon, noise) are for delta 1e-5 but one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from bench.table import Row
from federation.privacy.accounting import Release, build_training_release, compute_epsilon, find_noise_multiplier

DELTA = 1e-5
TOLERANCE = 5e-4
"""The known values have three decimals."""


class Known(NamedTuple):
    """A golden value and how the ledger comes to it."""

    measure: str
    value: float
    compute: Callable[[], float]


def _everyone(noise: float, rounds: int, sampling: float = 1.0) -> Callable[[], float]:
    return partial(compute_epsilon, [Release(noise_multiplier=noise, sampling=sampling, steps=rounds)], DELTA)


KNOWN: Sequence[Known] = (
    Known("epsilon, sigma 1, 10 rounds of everyone", 17.857, _everyone(1.0, 10)),
    Known("epsilon, sigma 4, 20 rounds of everyone", 4.983, _everyone(4.0, 20)),
    Known("epsilon, sigma 8, 50 rounds of everyone", 3.797, _everyone(8.0, 50)),
    Known("sigma for epsilon 1, 20 rounds", 16.684, partial(find_noise_multiplier, 1.0, DELTA, steps=20)),
    Known("sigma for epsilon 3, 20 rounds", 6.219, partial(find_noise_multiplier, 3.0, DELTA, steps=20)),
    Known("sigma for epsilon 10, 20 rounds", 2.236, partial(find_noise_multiplier, 10.0, DELTA, steps=20)),
    Known("epsilon, sigma 1, 20 rounds, each with probability 0.3", 9.517, _everyone(1.0, 20, 0.3)),
    Known(
        "epsilon, DP-SGD: 100,000 examples, batch 256, 10 epochs, sigma 1, delta 1e-6",
        0.949,
        lambda: compute_epsilon([build_training_release(1.0, 100_000, 256, 10)], 1e-6),
    ),
)


def measure(*, quick: bool) -> list[Row]:  # noqa: ARG001 - all of it takes seconds
    """Every golden value."""
    rows = []
    for known in KNOWN:
        value = known.compute()
        holds = abs(value - known.value) <= TOLERANCE
        rows.append(Row(known.measure, value, "", known.value, value / known.value, f"{known.value:g}", holds))
    return rows
