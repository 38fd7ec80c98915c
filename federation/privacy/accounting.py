"""What a release costs in differential privacy, and the ledger that refuses one before it runs. Pure.

A `Release` is a description: noise, sampling, repetitions. Accounting is another matter: without sampling, repeated Gaussian
releases are one with less noise, for which epsilon is exact (Balle and Wang, ICML 2018); with sampling, the privacy loss
distribution of `dp-accounting` (PLD). Neighbours differ by adding or removing one unit: a participant (client level) or a
transaction (sample level).

`noise_multiplier` is the noise's standard deviation over the sensitivity, and the sensitivity is the furthest that one unit can
move what is released, its weight included: clip_norm * weight_max for a weighted sum. Noise measured by the mean weight would
be too little for whoever weighs most. Only sampling in which every unit comes in by a coin of its own (Poisson) makes a release
cheaper; a cohort of fixed size does not, and is accounted with sampling 1.

In masked mode each participant adds its share of the noise before masking, so that nobody sees a clean sum: if at least
`survivors_min` take part, the shares add up to what was promised, and with more to more. Participants that collude with the
coordinator know their own shares: with c of them the noise is smaller by sqrt(1 - c / survivors_min).
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

from federation.refusals import FederationRefusedError, PrivacyBudgetError

Level = Literal["client", "sample"]
STEPS_MAX = 10_000_000
_NOISE_LEAST = 1e-3
_SEARCH_MAX = 40


class Release(Struct, frozen=True, kw_only=True):
    """`steps` Gaussian releases of the same kind. Describes; says nothing of what it costs."""

    noise_multiplier: Annotated[float, Meta(gt=0, le=1e6)]
    sampling: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """The chance of a unit to take part in a step (Poisson sampling); 1: everyone, every time."""
    steps: Annotated[int, Meta(ge=1, le=STEPS_MAX)] = 1

    def __post_init__(self) -> None:
        fine = math.isfinite(self.noise_multiplier) and self.noise_multiplier > 0 and 0 < self.sampling <= 1
        if not fine or not 1 <= self.steps <= STEPS_MAX:
            raise FederationRefusedError(
                "privacy", f"noise_multiplier > 0, 0 < sampling <= 1 and 1 <= steps <= {STEPS_MAX} are accounted for"
            )


def build_training_release(noise_multiplier: float, examples: int, batch_size: int, epochs: float) -> Release:
    """DP-SGD on `examples` transactions: Poisson batches of `batch_size` on average, until each was seen `epochs` times."""
    sampling = min(batch_size / examples, 1.0)
    return Release(noise_multiplier=noise_multiplier, sampling=sampling, steps=math.ceil(epochs / sampling - 1e-9))


def compute_epsilon(releases: Iterable[Release], delta: float) -> float:
    """The epsilon at `delta` of all `releases` together; 0 for none."""
    _check_delta(delta)
    grouped: dict[tuple[float, float], int] = {}
    for release in releases:
        kind = (release.noise_multiplier, release.sampling)
        grouped[kind] = grouped.get(kind, 0) + release.steps
    return _epsilon(tuple(sorted((*kind, steps) for kind, steps in grouped.items())), delta)


@lru_cache(maxsize=256)
def _epsilon(grouped: tuple[tuple[float, float, int], ...], delta: float) -> float:
    if not grouped:
        return 0.0
    # dp-accounting and the SciPy below it take two seconds to load, and most processes of a federation account for nothing.
    import dp_accounting  # type: ignore[import-untyped]  # noqa: PLC0415
    from dp_accounting.gaussian_mechanism import get_epsilon_gaussian  # type: ignore[import-untyped]  # noqa: PLC0415
    from dp_accounting.pld import PLDAccountant  # type: ignore[import-untyped]  # noqa: PLC0415

    if all(sampling == 1.0 for _, sampling, _ in grouped):
        # Independent Gaussian releases add up by the inverse squares of their noise.
        precision = math.fsum(steps / noise**2 for noise, _, steps in grouped)
        with np.errstate(
            divide="ignore"
        ):  # a very small epsilon: the library takes the logarithm of 0, and means -infinity
            return float(get_epsilon_gaussian(1 / math.sqrt(precision), delta))
    accountant = PLDAccountant()
    for noise, sampling, steps in grouped:
        event = dp_accounting.GaussianDpEvent(noise)
        accountant.compose(event if sampling == 1.0 else dp_accounting.PoissonSampledDpEvent(sampling, event), steps)
    return float(accountant.get_epsilon(delta))


def find_noise_multiplier(target_epsilon: float, delta: float, *, steps: int, sampling: float = 1.0) -> float:
    """The least noise multiplier whose `steps` releases stay at or below `target_epsilon`; exact and at once without sampling."""
    _check_delta(delta)
    if not (math.isfinite(target_epsilon) and target_epsilon > 0):
        raise FederationRefusedError("privacy", "epsilon is finite and positive")
    if sampling == 1.0:
        from dp_accounting.gaussian_mechanism import get_sigma_gaussian  # noqa: PLC0415 - as in _epsilon

        noise = float(get_sigma_gaussian(target_epsilon, delta)) * math.sqrt(steps)
        return noise * (1 + 1e-9)  # the library's root lies on either side
    high = find_noise_multiplier(target_epsilon, delta, steps=steps)  # sampling never costs more
    return _noise_between(high, target_epsilon, delta, steps, sampling)


def _noise_between(high: float, target: float, delta: float, steps: int, sampling: float) -> float:
    """The least noise at or below `high` that keeps to `target`, within 0.1%: false position on a log-log scale (Illinois).

    One evaluation takes a second or more, and epsilon is nearly a power of the noise: some six are enough.
    """

    def excess(log_noise: float) -> float:
        release = Release(noise_multiplier=math.exp(log_noise), sampling=sampling, steps=steps)
        return math.log(max(compute_epsilon([release], delta), 1e-12) / target)

    right, low = math.log(high), math.log(high)
    above = below = excess(right)
    while above <= 0 and low > math.log(_NOISE_LEAST):
        right, below = low, above
        low -= math.log(2)
        above = excess(low)
    for _ in range(_SEARCH_MAX):
        if right - low <= 1e-3 or above <= 0:
            break
        middle = low + (right - low) * min(max(above / (above - below), 0.02), 0.98)
        found = excess(middle)
        if found <= 0:
            right, below, above = middle, found, above / 2
        else:
            low, above, below = middle, found, below / 2
    return math.exp(right)


def compute_sensitivity(clip_norm: float, weight_max: float) -> float:
    """How far one participant can move a released weighted sum (L2), where its update has a norm of at most `clip_norm`."""
    return weight_max * clip_norm


def compute_noise_share(noise_multiplier: float, moved: float, survivors_min: int) -> float:
    """Standard deviation of each participant's share of the noise, where `moved` is the sensitivity of the sum."""
    return noise_multiplier * moved / math.sqrt(survivors_min)


class Spend(Struct, frozen=True, kw_only=True):
    """One release in the ledger: written before it happens, and kept if it then fails."""

    round: int
    attempt: int
    at_ms: int
    release: Release


class PrivacyLedger(Struct, frozen=True, kw_only=True):
    """Everything that was spent at one level; only ever grows."""

    level: Level
    delta: Annotated[float, Meta(gt=0, lt=1)]
    epsilon_max: Annotated[float, Meta(gt=0)]
    spends: tuple[Spend, ...] = ()

    def compute_epsilon(self, more: Sequence[Release] = ()) -> float:
        """Of all spends, and of `more` that are only considered."""
        return compute_epsilon([*(spend.release for spend in self.spends), *more], self.delta)

    def has(self, round_number: int, attempt: int) -> bool:
        """Whether this attempt is in the ledger already: a replay must not write it twice."""
        return any((spend.round, spend.attempt) == (round_number, attempt) for spend in self.spends)

    def admit(self, release: Release, *, round_number: int, attempt: int, at_ms: int) -> "PrivacyLedger":
        """The ledger with `release`; store it, then let the attempt begin. Raises PrivacyBudgetError with the numbers."""
        if self.has(round_number, attempt):
            raise FederationRefusedError("privacy", f"round {round_number} attempt {attempt} is in the ledger already")
        before, after = self.compute_epsilon(), self.compute_epsilon([release])
        if after > self.epsilon_max:
            raise PrivacyBudgetError(
                f"round {round_number} would bring epsilon from {before:.3f} to {after:.3f} at delta {self.delta:g}, "
                f"above {self.epsilon_max:g} ({self.level} level): more noise, fewer rounds, or a new budget",
                epsilon_before=before,
                epsilon_after=after,
                epsilon_max=self.epsilon_max,
            )
        spend = Spend(round=round_number, attempt=attempt, at_ms=at_ms, release=release)
        return PrivacyLedger(
            level=self.level, delta=self.delta, epsilon_max=self.epsilon_max, spends=(*self.spends, spend)
        )

    def count_rounds_left(self, release: Release, at_most: int = 1_000_000) -> int:
        """How many more such releases the budget allows; asked for by `federation budget`."""
        low, high = 0, at_most
        while low < high:
            middle = (low + high + 1) // 2
            more = Release(
                noise_multiplier=release.noise_multiplier,
                sampling=release.sampling,
                steps=min(release.steps * middle, STEPS_MAX),
            )
            low, high = (middle, high) if self.compute_epsilon([more]) <= self.epsilon_max else (low, middle - 1)
        return low


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise FederationRefusedError("privacy", "delta lies between 0 and 1")
