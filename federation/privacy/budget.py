"""Each side's count of what was released, level by level; a release that would pass a budget is refused before it. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from contract.federation.fields import Purpose
from contract.federation.messages import LocalTraining, PrivacyTerms, RoundPlan
from federation.privacy.accounting import Level, PrivacyLedger, Release, Spend, build_training_release
from federation.refusals import FederationRefusedError, PrivacyBudgetError


class LevelSpend(Struct, frozen=True, kw_only=True):
    """One attempt that was announced; it counts whatever became of it."""

    level: Level
    spend: Spend


def release_of(terms: PrivacyTerms, training: LocalTraining, purpose: Purpose = "training") -> Release:
    """What one attempt on these terms releases.

    client: one sum with noise. A cohort of fixed size is not a sample whose chance makes it cheaper. sample: DP-SGD on the
    least number of examples that the plan allows; with more, a single one has less part in it. Statistics and calibration
    are one sum with noise at either level.
    """
    if terms.level == "sample" and purpose == "training":
        return build_training_release(terms.noise_multiplier, terms.examples_min, training.batch_size, training.epochs)
    return Release(noise_multiplier=terms.noise_multiplier)


def build_privacy_ledger(
    spends: Sequence[LevelSpend], level: Level, *, delta: float, epsilon_max: float
) -> PrivacyLedger:
    """The ledger of one level."""
    chosen = tuple(one.spend for one in spends if one.level == level)
    return PrivacyLedger(level=level, delta=delta, epsilon_max=epsilon_max, spends=chosen)


def compute_spend(
    spends: Sequence[LevelSpend], plan: RoundPlan, *, epsilon_max: float, at_ms: int
) -> LevelSpend | None:
    """What a participant must count for the plan's attempt; None where it would pass the participant's own budget."""
    terms = plan.privacy
    if terms.level == "none":
        raise FederationRefusedError("privacy", "a round without privacy has no price")
    ledger = build_privacy_ledger(spends, terms.level, delta=terms.delta, epsilon_max=epsilon_max)
    try:
        release = release_of(terms, plan.training, plan.purpose)
        admitted = ledger.admit(release, round_number=plan.round, attempt=plan.attempt, at_ms=at_ms)
    except PrivacyBudgetError:
        return None
    return LevelSpend(level=terms.level, spend=admitted.spends[-1])
