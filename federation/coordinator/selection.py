"""Who takes part in an attempt: drawn from those approved, the same again for the same seed, round and attempt. Pure.

Every draw is a hash of (seed, round, attempt, name), so it depends on no library's generator and on nobody else's presence.
"""

import hashlib
import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from contract.federation.settings import Selection

REPUTATION_LEAST = 0.05
"""Nobody is shut out by reputation alone: a participant can only win it back by taking part."""


class Candidate(NamedTuple):
    """An approved participant."""

    name: str
    stratum: str = ""
    """Stratified selection draws from every stratum in turn."""
    reputation: float = 1.0
    """In [0, 1]; selection by reputation draws in proportion to it."""


def select(
    candidates: Sequence[Candidate], count: int, how: Selection, *, seed: int, round_number: int, attempt: int
) -> tuple[str, ...]:
    """Names of up to `count` candidates, in the order of their names."""
    drawn = {candidate: _draw(seed, round_number, attempt, candidate.name) for candidate in candidates}
    if how == "reputation":
        # Efraimidis and Spirakis: the largest u^(1/w) is a draw without replacement in proportion to w.
        weight = {candidate: min(max(candidate.reputation, REPUTATION_LEAST), 1.0) for candidate in candidates}
        ordered = sorted(candidates, key=lambda candidate: -math.log(drawn[candidate]) / weight[candidate])
    else:
        ordered = sorted(candidates, key=lambda candidate: drawn[candidate])
    if how == "stratified":
        ordered = _in_turn(ordered)
    return tuple(sorted(candidate.name for candidate in ordered[:count]))


def _in_turn(ordered: Sequence[Candidate]) -> list[Candidate]:
    strata: dict[str, list[Candidate]] = {}
    for candidate in ordered:
        strata.setdefault(candidate.stratum, []).append(candidate)
    return [candidate for layer in zip_longest(*strata.values()) for candidate in layer if candidate is not None]


def _draw(seed: int, round_number: int, attempt: int, name: str) -> float:
    """Uniform in (0, 1]."""
    digest = hashlib.sha256(f"{seed}/{round_number}/{attempt}/{name}".encode()).digest()
    return (int.from_bytes(digest[:7], "big") + 1) / 2**56
