"""What a retailer's own settings, and what it knows, have against a round, whatever the coordinator signed."""

from typing import Any

import pytest
from msgspec.structs import replace

from contract.federation.messages import LocalTraining, MaskingTerms, Member, PrivacyTerms, RoundPlan, TensorShape
from contract.federation.reasons import REFUSALS
from contract.federation.settings import ParticipantSettings
from federation.messages.global_weights import GlobalWeights
from federation.participant.objections import to_plan
from federation.participant.state import ParticipantState

COHORT = ("alma", "berta", "carl", "dora")
SHAPES = (TensorShape(name="w", shape=(2,)),)
PRIVATE = PrivacyTerms(
    level="client", noise_multiplier=4.0, delta=1e-5, epsilon_before=0.0, epsilon_after=1.0, examples_min=1
)
PLAN = RoundPlan(
    round=3, attempt=0, mode="masked", cohort=COHORT, updates_min=3, base_version=2, shapes=SHAPES,
    training=LocalTraining(epochs=1, batch_size=8, learning_rate=0.1, prior_offset=False, proximal_mu=0.0),
    clip_norm=1.0, frauds_weight=0.5, weight_unit=1.0, weight_max=1.0, privacy=replace(PRIVATE, level="none"), bits=32,
    masking=MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=100.0), seed=1, roster_version=1,
)  # fmt: skip
OWN = ParticipantSettings(cohort_min=3)


def member(name: str) -> Member:
    return Member(
        name=name, signing_key=bytes(1952), sealing_key=bytes(64), allow_robust=True, status="approved", since_ms=0
    )


def state(**changes: Any) -> ParticipantState:
    known = ParticipantState(
        members={name: member(name) for name in COHORT},
        models={2: GlobalWeights(version=2, shapes=SHAPES, payload=bytes(8))},
    )
    return replace(known, **changes)


def test_there_is_nothing_against_a_round_that_keeps_to_the_settings() -> None:
    assert to_plan(PLAN, OWN, state(), foreign=False) is None
    assert to_plan(replace(PLAN, privacy=PRIVATE), OWN, state(), foreign=False) is None
    assert to_plan(replace(PLAN, updates_min=4), ParticipantSettings(cohort_min=4), state(), foreign=False) is None
    robust, open_to_it = replace(PLAN, mode="robust", masking=None), ParticipantSettings(allow_robust=True)
    assert to_plan(robust, open_to_it, state(), foreign=False) is None


@pytest.mark.parametrize(
    ("plan", "own", "known", "reason"),
    [
        (replace(PLAN, mode="robust"), {}, {}, "mode"),
        (replace(PLAN, mode="robust", purpose="statistics"), {"allow_robust": True}, {}, "mode"),
        (replace(PLAN, mode="robust", purpose="calibration"), {"allow_robust": True}, {}, "mode"),
        (PLAN, {"cohort_min": 5}, {}, "cohort"),
        (replace(PLAN, updates_min=2), {}, {}, "cohort"),
        (PLAN, {"require_privacy": True}, {}, "privacy"),
        (replace(PLAN, privacy=replace(PRIVATE, delta=0.5)), {}, {}, "privacy"),
        (PLAN, {}, {"members": {name: member(name) for name in COHORT[:3]}}, "keys"),
        (
            PLAN,
            {},
            {"members": {name: replace(member(name), status="revoked") for name in COHORT}},
            "keys",
        ),
        (PLAN, {}, {"distrusted": {"berta": "changed"}}, "keys"),
        (replace(PLAN, masking=None), {}, {}, "keys"),
        (replace(PLAN, masking=MaskingTerms(ring_bits=32, neighbours=31, threshold=3, scale=1.0)), {}, {}, "keys"),
        (PLAN, {}, {"models": {}}, "model"),
        (replace(PLAN, shapes=(TensorShape(name="w", shape=(3,)),)), {}, {}, "model"),
    ],
)
def test_a_round_against_the_settings_or_with_what_is_not_known_is_refused(
    plan: RoundPlan, own: dict[str, Any], known: dict[str, Any], reason: str
) -> None:
    settings = ParticipantSettings(**({"cohort_min": 3} | own))
    assert to_plan(plan, settings, state(**known), foreign=False) == reason
    assert reason in REFUSALS


def test_a_model_of_another_form_than_the_one_learned_here_is_refused() -> None:
    assert to_plan(PLAN, OWN, state(), foreign=True) == "model"
