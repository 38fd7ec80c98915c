"""Whether a retailer takes a global model: by what was measured on its own newest labels. Pure."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from federation.learner import Choice

SIMPLEST_FIRST: tuple[Choice, ...] = ("local", "global", "blended", "fine_tuned")
"""Of equals the earlier is taken: what serves stays, then what needs least."""


class Verdict(NamedTuple):
    """The choice and why, in words."""

    choice: Choice
    reason: str


def choose(measured: Mapping[Choice, float], *, frauds: int, frauds_min: int, margin: float) -> Verdict:
    """The model to serve, by average precision (higher is better) of each candidate on the same newest examples.

    Another than `local` must beat it by `margin`, on at least `frauds_min` frauds: below, chance decides more than the model.
    A value that is not finite counts as not measured; `local` not measured (a newcomer without a model) loses to any.
    """
    usable = {name: measured[name] for name in SIMPLEST_FIRST if math.isfinite(measured.get(name, math.nan))}
    local = usable.get("local")
    if local is None:
        others = [name for name in usable if name != "local"]
        if not others:
            return Verdict("local", "nothing was measured")
        only = max(others, key=lambda name: usable[name])
        return Verdict(only, f"there is no local model; {only} has {usable[only]:.3f}")
    if frauds < frauds_min:
        return Verdict("local", f"{frauds} known frauds are too few to judge by, {frauds_min} are needed")
    best = max(usable, key=lambda name: usable[name])
    if best == "local" or usable[best] < local + margin:
        return Verdict("local", f"no other beats its {local:.3f} by {margin:g}")
    return Verdict(best, f"{best} has {usable[best]:.3f}, local {local:.3f}")
