"""The next plan: who may be in it, what it asks for, and what it costs before anyone trains."""

from typing import Any

import numpy as np
import pytest

from contract.federation.messages import Halted, Member, RoundPlan, TensorShape
from contract.federation.settings import FederationSettings, RoundSettings
from federation.coordinator.planning import RING_BITS, RoundPlanning, build_terms, describe_shortage, select_able
from federation.coordinator.state import CoordinatorState
from federation.messages.global_weights import GlobalWeights
from federation.privacy.accounting import Release, compute_epsilon
from federation.secagg.graph import NEIGHBOURS, compute_cohort_threshold

NAMES = ("alma", "berta", "carl", "dora")
SHAPES = (TensorShape(name="w", shape=(2,)), TensorShape(name="statistics", shape=(1,), role="statistics"))
CLIENT = {"privacy": {"level": "client", "noise_multiplier": 4.0, "epsilon_max": 5.0}}


def member(name: str, *, status: str = "approved", allow_robust: bool = True) -> Member:
    return Member(
        name=name, signing_key=bytes(1952), sealing_key=bytes(64), allow_robust=allow_robust,
        status=status, since_ms=0,  # type: ignore[arg-type]
    )  # fmt: skip


def state(measured: float = 1.0, **fields: Any) -> CoordinatorState:
    payload = np.array([0.0, 0.0, measured], dtype="<f4").tobytes()
    known: dict[str, Any] = {
        "model": GlobalWeights(version=5, shapes=SHAPES, payload=payload),
        "members": {name: member(name) for name in NAMES},
        "rounds_wanted": 9,
        "round_number": 4,
        "roster_version": 6,
    }
    return CoordinatorState(**(known | fields))


def planning(**rounds: Any) -> RoundPlanning:
    return RoundPlanning(FederationSettings(rounds=RoundSettings(**rounds)))


def planned(known: CoordinatorState, **rounds: Any) -> RoundPlan:
    found = planning(**rounds).plan(known, 77)
    assert isinstance(found, RoundPlan)
    return found


def test_a_masked_training_has_the_terms_of_its_cohort_and_counts_what_was_cut() -> None:
    plan = planned(state(), seed=10, clip_norm=2.0, frauds_weight=0.25, weight_unit=50.0)
    assert (plan.mode, plan.purpose, plan.cohort, plan.updates_min) == ("masked", "training", NAMES, 3)
    assert (plan.round, plan.attempt, plan.base_version, plan.roster_version) == (5, 0, 5, 6)
    assert (plan.clip_norm, plan.frauds_weight, plan.weight_unit, plan.weight_max) == (2.0, 0.25, 50.0, 1.0)
    assert (plan.seed, plan.staleness_max, plan.counts_clipped) == (15, 0, True)
    assert plan.masking is not None
    assert (plan.masking.ring_bits, plan.masking.neighbours) == (RING_BITS, NEIGHBOURS)
    assert plan.masking.threshold == compute_cohort_threshold(4)
    assert 4 * 2.0 * plan.masking.scale < 2**31 <= 4 * 2.0 * plan.masking.scale * 2.1, "as fine as the sum allows"


def test_an_attempt_of_a_round_that_began_keeps_its_number() -> None:
    plan = planned(state(begun=True, attempt=2))
    assert (plan.round, plan.attempt) == (4, 2)


def test_statistics_are_a_masked_sum_in_every_mode_and_by_no_fraud_s_weight() -> None:
    plan = planned(state(measured=0.0), mode="robust", strategy={"name": "fedbuff", "buffer_size": 2})
    assert (plan.purpose, plan.mode, plan.frauds_weight, plan.updates_min) == ("statistics", "masked", 0.0, 3)
    assert (plan.staleness_max, plan.counts_clipped) == (0, False)


def test_a_robust_training_has_no_masks_and_one_with_a_buffer_waits_for_as_many_as_it_holds() -> None:
    plain = planned(state(), mode="robust", compression={"bits": 8, "zstd_level": 5})
    assert (plain.mode, plain.masking, plain.counts_clipped, plain.updates_min) == ("robust", None, False, 3)
    assert (plain.bits, plain.zstd_level, plain.staleness_max) == (8, 5, 0)
    buffered = planned(state(), mode="robust", strategy={"name": "fedbuff", "buffer_size": 2, "staleness_max": 3})
    assert (buffered.updates_min, buffered.staleness_max) == (2, 3)


def test_with_privacy_the_plan_says_what_it_costs_and_nothing_of_what_was_cut() -> None:
    known = state()
    rounds = planning(**CLIENT)
    first = rounds.plan(known, 77)
    assert isinstance(first, RoundPlan)
    one, two = (compute_epsilon([Release(noise_multiplier=4.0)] * count, 1e-5) for count in (1, 2))
    assert [first.privacy.epsilon_before, first.privacy.epsilon_after] == pytest.approx([0.0, one])
    assert (first.counts_clipped, first.privacy.noise_multiplier) == (False, 4.0)
    rounds.add_spend(known, first, 99)
    (spend,) = known.spends
    assert (spend.level, spend.spend.round, spend.spend.attempt, spend.spend.at_ms) == ("client", 5, 0, 99)
    known.round_number = 5
    second = rounds.plan(known, 77)
    assert isinstance(second, RoundPlan)
    assert [second.privacy.epsilon_before, second.privacy.epsilon_after] == pytest.approx([one, two])


def test_a_round_beyond_the_budget_halts_with_the_numbers() -> None:
    tight = {"privacy": {**CLIENT["privacy"], "epsilon_max": 0.5}}
    found = planning(**tight).plan(state(), 77)
    assert isinstance(found, Halted)
    assert "above 0.5" in found.reason


def test_without_privacy_nothing_is_spent() -> None:
    known = state()
    planning().add_spend(known, planned(known), 99)
    assert known.spends == []


def test_too_few_or_no_wish_give_no_plan() -> None:
    assert planning(cohort_min=5, cohort_max=8).plan(state(), 77) is None
    assert planning(cohort_min=4).plan(state(), 77) is not None
    assert planning().plan(state(rounds_wanted=0), 77) is None


def test_only_the_approved_may_be_selected_and_for_single_updates_only_the_willing() -> None:
    members = [member("a"), member("b", allow_robust=False), member("c", status="left"), member("d", status="revoked")]
    assert [one.name for one in select_able(members, "masked")] == ["a", "b"]
    assert [one.name for one in select_able(members, "robust")] == ["a"]
    assert describe_shortage(members, RoundSettings()) == "2 of 3"
    assert describe_shortage(members, RoundSettings(mode="robust")) == "1 of 3 that allow mode robust"
    assert describe_shortage(members, RoundSettings(cohort_min=2)) == ""


def test_terms_are_those_of_the_settings_and_noise_is_for_privacy_alone() -> None:
    training = {"epochs": 3, "batch_size": 16, "learning_rate": 0.5, "prior_offset": False}
    privacy = {"level": "none", "noise_multiplier": 4.0, "delta": 1e-6, "examples_min": 70}
    terms, local = build_terms(RoundSettings(training=training, privacy=privacy))
    assert (terms.level, terms.noise_multiplier, terms.delta, terms.examples_min) == ("none", 0.0, 1e-6, 70)
    assert (local.epochs, local.batch_size, local.learning_rate, local.prior_offset, local.proximal_mu) == (
        3,
        16,
        0.5,
        False,
        0.0,
    )
    _, near = build_terms(RoundSettings(strategy={"name": "fedprox", "proximal_mu": 0.3}))
    assert near.proximal_mu == 0.3
    _, far = build_terms(RoundSettings(strategy={"name": "fedavg", "proximal_mu": 0.3}))
    assert far.proximal_mu == 0.0
