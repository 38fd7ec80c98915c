"""What each participant adds to the common model, and what that does to its reputation. Pure.

A value function says how good the model of a set of participants is (average precision on data nobody trained on; higher is
better). It needs single updates, so contributions exist in mode `robust` and in simulation; masked rounds show sums only.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Value = Callable[[frozenset[str]], float]
"""Of a set of participants, the empty set included; asked once for each set."""

LEAST, MOST = 0.0, 1.0


class Contribution(NamedTuple):
    """Each participant's part of the value, and what it cost to find out."""

    parts: dict[str, float]
    evaluations: int


def leave_one_out(value: Value, names: Sequence[str]) -> Contribution:
    """value(everyone) - value(everyone but one): n + 1 evaluations. Two that know the same both seem to add nothing."""
    whole = frozenset(names)
    asked = _Asked(value)
    total = asked(whole)
    return Contribution({name: total - asked(whole - {name}) for name in names}, len(asked.known))


def estimate_shapley(
    value: Value, names: Sequence[str], *, evaluations_max: int, tolerance: float = 1e-3, seed: int = 0
) -> Contribution:
    """Estimates of the Shapley values, whose sum is value(everyone) - value(nobody) up to `tolerance`.

    Over random orders, what each adds to those before it (TMC-Shapley; Ghorbani and Zou, ICML 2019); an order ends early once
    the rest can add no more than `tolerance`. Each order is walked backwards as well, which halves the noise (antithetic). Orders
    are walked until another might take more than `evaluations_max`, which is at least `count_shapley_evaluations(len(names))`; as many at
    most as there are evaluations, since all may be known.
    """
    if evaluations_max < count_shapley_evaluations(len(names)):
        raise ValueError(f"{evaluations_max} evaluations are too few for an order of {len(names)}")
    asked, generator = _Asked(value), random.Random(seed)  # noqa: S311 - a sample of orders, no secret
    whole, nobody = asked(frozenset(names)), asked(frozenset())
    sums = dict.fromkeys(names, 0.0)
    walked = 0
    while walked < evaluations_max and len(asked.known) + count_shapley_evaluations(len(names)) - 2 <= evaluations_max:
        walked += 1
        order = list(names)
        generator.shuffle(order)
        for walk in (order, order[::-1]):
            members, before = frozenset[str](), nobody
            for name in walk:
                if abs(whole - before) <= tolerance:
                    break
                members |= {name}
                after = asked(members)
                sums[name] += after - before
                before = after
    return Contribution({name: total / (2 * walked) for name, total in sums.items()}, len(asked.known))


def count_shapley_evaluations(participants: int) -> int:
    """How many evaluations the first order takes at most: everyone, nobody, and what lies between on both ways."""
    return 2 + 2 * (participants - 1)


class _Asked:
    """Remembers what was asked: orders share their beginnings and their ends."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self.known: dict[frozenset[str], float] = {}

    def __call__(self, members: frozenset[str]) -> float:
        if members not in self.known:
            self.known[members] = self._value(members)
        return self.known[members]


def update_reputations(
    reputations: Mapping[str, float], contributions: Mapping[str, float], *, memory: float = 0.8, start: float = 1.0
) -> dict[str, float]:
    """Reputations in [0, 1] after a round: `memory` of what was, the rest by rank among those who took part.

    Ranks instead of amounts: one great contribution says as little about the next round as one outlier of the metric does.
    Whoever harmed the model (a contribution below 0) counts as last; who took no part keeps what it has.
    """
    known = {name: part for name, part in contributions.items() if math.isfinite(part)}
    helpful = sorted(part for part in known.values() if part >= 0)
    after = dict(reputations)
    for name, part in known.items():
        if part < 0:
            score = LEAST
        else:
            below = sum(other < part for other in helpful)
            equal = sum(other == part for other in helpful)
            # Equals share the highest of their ranks, so where all help alike nobody loses; none who helped falls below the middle.
            score = max((below + equal) / len(helpful), 0.5)
        after[name] = min(max(memory * reputations.get(name, start) + (1 - memory) * score, LEAST), MOST)
    for name in contributions.keys() - known.keys():
        after[name] = memory * reputations.get(name, start)
    return after


def punish(
    reputations: Mapping[str, float], names: Sequence[str], *, factor: float = 0.5, start: float = 1.0
) -> dict[str, float]:
    """Reputations after `names` broke the protocol (wrong shares, refused updates): each loses half."""
    return dict(reputations) | {name: reputations.get(name, start) * factor for name in names}
