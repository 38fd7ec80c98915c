"""What an attempt costs, level by level, and that one beyond a participant's own budget is refused before it."""

import pytest
from msgspec.structs import replace

from contract.federation.messages import LocalTraining, PrivacyTerms, RoundPlan, TensorShape
from federation.privacy.accounting import Release, compute_epsilon
from federation.privacy.budget import LevelSpend, build_privacy_ledger, compute_spend, release_of
from federation.refusals import FederationRefusedError

TERMS = PrivacyTerms(
    level="client", noise_multiplier=4.0, delta=1e-5, epsilon_before=0.0, epsilon_after=1.0, examples_min=1_000
)
TRAINING = LocalTraining(epochs=2, batch_size=100, learning_rate=0.1, prior_offset=False, proximal_mu=0.0)
PLAN = RoundPlan(
    round=3, attempt=1, mode="masked", cohort=("alma", "berta", "carl"), updates_min=3, base_version=2,
    shapes=(TensorShape(name="w", shape=(2,)),), training=TRAINING, clip_norm=1.0, frauds_weight=0.5, weight_unit=1.0,
    weight_max=1.0, privacy=TERMS, bits=32, masking=None, seed=1, roster_version=1,
)  # fmt: skip
ONE = compute_epsilon([Release(noise_multiplier=4.0)], 1e-5)


def spent(plan: RoundPlan, before: list[LevelSpend], epsilon_max: float = 1e3) -> LevelSpend:
    found = compute_spend(before, plan, epsilon_max=epsilon_max, at_ms=77)
    assert found is not None
    return found


def test_an_attempt_at_client_level_is_one_sum_with_noise() -> None:
    for purpose in ("training", "statistics", "calibration"):
        assert release_of(TERMS, TRAINING, purpose) == Release(noise_multiplier=4.0)


def test_a_training_at_sample_level_is_dp_sgd_on_the_fewest_examples_that_are_allowed_and_sums_are_one_release() -> (
    None
):
    sample = replace(TERMS, level="sample")
    assert release_of(sample, TRAINING) == Release(noise_multiplier=4.0, sampling=0.1, steps=20)
    assert release_of(sample, TRAINING, "statistics") == Release(noise_multiplier=4.0)


def test_a_spend_names_its_attempt_its_time_and_its_level() -> None:
    found = spent(PLAN, [])
    assert (found.level, found.spend.round, found.spend.attempt, found.spend.at_ms) == ("client", 3, 1, 77)
    assert found.spend.release == Release(noise_multiplier=4.0)


def test_a_budget_that_the_attempt_would_pass_refuses_it_and_one_that_it_just_reaches_does_not() -> None:
    assert compute_spend([], PLAN, epsilon_max=ONE * 0.999, at_ms=0) is None
    assert spent(PLAN, [], ONE).spend.release.noise_multiplier == 4.0
    before = [spent(replace(PLAN, round=2), [])]
    assert compute_spend(before, PLAN, epsilon_max=ONE, at_ms=0) is None


def test_each_level_has_a_count_of_its_own() -> None:
    before = [spent(replace(PLAN, round=2), [])]
    sample = replace(PLAN, privacy=replace(TERMS, level="sample"), purpose="statistics")
    assert spent(sample, before, ONE).level == "sample"
    ledger = build_privacy_ledger([*before, spent(sample, before)], "sample", delta=1e-5, epsilon_max=ONE)
    assert [spend.round for spend in ledger.spends] == [3]
    assert (ledger.level, ledger.delta, ledger.epsilon_max) == ("sample", 1e-5, ONE)
    assert ledger.compute_epsilon() == pytest.approx(ONE)


def test_the_same_attempt_is_never_counted_twice_and_the_next_one_is_another() -> None:
    before = [spent(PLAN, [])]
    with pytest.raises(FederationRefusedError, match="in the ledger already"):
        compute_spend(before, PLAN, epsilon_max=1e3, at_ms=0)
    assert spent(replace(PLAN, attempt=2), before).spend.attempt == 2


def test_a_round_without_privacy_has_no_price() -> None:
    with pytest.raises(FederationRefusedError, match="no price"):
        compute_spend([], replace(PLAN, privacy=replace(TERMS, level="none")), epsilon_max=1.0, at_ms=0)
