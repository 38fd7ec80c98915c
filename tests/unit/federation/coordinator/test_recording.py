"""What the ledger says of very large cohorts still fits into an entry, and can be checked."""

import hashlib
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from contract.errors import InvariantError
from contract.federation.fields import COHORT_MAX
from contract.federation.messages import (
    Evaluated,
    LedgerEntry,
    RoundPlan,
    StageOver,
    TensorShape,
    decode_message,
    encode_message,
)
from contract.federation.settings import CoordinatorSettings, RoundSettings
from federation.audit.history import decode_content, list_rounds
from federation.coordinator.attempt import Attempt, Candidate, build_rules
from federation.coordinator.collection import Collection, Combined
from federation.coordinator.recording import NAMES_MAX, Say, build_entries, mark_recorded
from federation.coordinator.state import CoordinatorState, Note
from federation.messages.global_weights import GlobalWeights
from support.robust_round import robust_plan

SHAPES = (TensorShape(name="w", shape=(1,)),)


def cohort_of(size: int) -> tuple[str, ...]:
    return tuple(f"{number:05}".rjust(48, "p") for number in range(size))


def plan_of(size: int) -> RoundPlan:
    return robust_plan(round=1, attempt=0, cohort=cohort_of(size), base_version=0, shapes=SHAPES, clip_norm=1.0)


def entries_of(size: int, nothing: Any = None) -> list[LedgerEntry]:
    """Of a plan and of its only stage, in which half of the cohort answers and half refuses."""
    plan, names = plan_of(size), cohort_of(size)
    collection: Collection = nothing
    attempt = Attempt(plan, build_rules(plan, RoundSettings(mode="robust")), collection, 0)
    attempt.refusals = dict.fromkeys(names[size // 2 :], "training")
    state = CoordinatorState(model=GlobalWeights(version=0, shapes=SHAPES, payload=bytes(4)))
    said = [Say("control", plan, 1), Say("control", StageOver(stage="updates", members=names[: size // 2]), 1)]
    return [say.message for say in build_entries(state, said, attempt, 0) if isinstance(say.message, LedgerEntry)]


@pytest.mark.parametrize("size", [4, NAMES_MAX, NAMES_MAX + 1, COHORT_MAX])
def test_every_entry_of_a_cohort_of_any_size_decodes_again(size: int) -> None:
    written = entries_of(size)
    assert [decode_message(encode_message(entry)) for entry in written] == written
    plan, stage = (decode_content(entry) for entry in written)
    if size <= NAMES_MAX:
        assert plan["cohort"] == list(cohort_of(size))
        assert list_rounds(written)[0].cohort == cohort_of(size // 2)
        assert len(stage["refused"]) == size - size // 2
        return
    digest = hashlib.sha256(msgspec.json.encode(cohort_of(size))).hexdigest()
    assert plan["cohort"] == {"too_many": size, "sha256": digest}


def test_a_cohort_that_is_not_named_is_none_of_the_cohorts_that_are_compared() -> None:
    assert list_rounds(entries_of(COHORT_MAX))[0].cohort == ()
    stage = decode_content(entries_of(COHORT_MAX)[1])
    assert stage["members"]["too_many"] == stage["refused"]["too_many"] == COHORT_MAX // 2


def test_no_more_participants_can_be_let_in_than_a_roster_holds() -> None:
    assert CoordinatorSettings(enrolments_max=COHORT_MAX).enrolments_max == COHORT_MAX
    with pytest.raises(ValidationError, match="10000"):
        CoordinatorSettings(enrolments_max=COHORT_MAX + 1)


def state_with(**changes: Any) -> CoordinatorState:
    return CoordinatorState(model=GlobalWeights(version=0, shapes=SHAPES, payload=bytes(4)), **changes)


def evaluated(plan: RoundPlan, nothing: Any = None, **received: int) -> dict[str, Any]:
    """What the ledger says of an attempt whose candidate was evaluated, with all that is known of each participant."""
    collection: Collection = nothing
    attempt = Attempt(plan, build_rules(plan, RoundSettings(mode="robust")), collection, 0)
    attempt.received = received
    message = Evaluated(model_version=1, metrics={"ap": 0.5})
    attempt.candidate = Candidate(
        payload=b"", optimiser=b"", combined=Combined(np.zeros(1), 1.0, 3, {}), reputations={"b": 0.5, "a": 1.0}, evaluated=message,
        contributions={"b": -0.1, "a": 0.2},
    )  # fmt: skip
    (entry,) = build_entries(state_with(), [Say("control", message, 1, 2)], attempt, 77)
    assert isinstance(entry.message, LedgerEntry)
    assert (entry.round, entry.attempt, entry.message.round, entry.message.attempt, entry.message.at_ms) == (
        1,
        2,
        1,
        2,
        77,
    )
    return decode_content(entry.message)


def test_each_one_s_part_is_told_except_where_its_update_was_promised_privacy_of_its_own() -> None:
    plan = plan_of(4)
    client = replace(plan.privacy, level="client", noise_multiplier=1.0)
    told = {"contributions": {"a": 0.2, "b": -0.1}, "reputations": {"a": 1.0, "b": 0.5}}
    assert evaluated(plan) == {"model_version": 1, "metrics": {"ap": 0.5}} | told
    assert evaluated(replace(plan, privacy=client)) == {"model_version": 1, "metrics": {"ap": 0.5}}
    assert "contributions" in evaluated(replace(plan, privacy=replace(client, level="sample")))
    assert "contributions" in evaluated(replace(plan, privacy=client, mode="masked"))


def test_how_much_each_one_sent_is_told_when_the_attempt_ends() -> None:
    assert evaluated(plan_of(4), b=3, a=5)["bytes"] == {"up": 8, "of": {"a": 5, "b": 3}}


def test_a_plan_tells_what_it_releases_where_that_costs_anything() -> None:
    plan = plan_of(4)
    client = replace(plan.privacy, level="client", noise_multiplier=2.0)
    contents = []
    for each in (plan, replace(plan, privacy=client)):
        (entry,) = build_entries(state_with(), [Say("control", each, 1)], None, 0)
        assert isinstance(entry.message, LedgerEntry)
        contents.append(decode_content(entry.message))
    assert [content["release"] for content in contents] == [
        None,
        {"noise_multiplier": 2.0, "sampling": 1.0, "steps": 1},
    ]


def test_what_happened_since_comes_first_and_belongs_to_no_round_and_is_told_once() -> None:
    notes = [Note(kind="left", content={"participant": "a"}), Note(kind="approved", content={"participant": "b"})]
    state = state_with(notes=notes, drops={"time": 2, "malformed": 1})
    said = build_entries(state, [Say("control", plan_of(4), 1)], None, 0)
    entries = [say.message for say in said if isinstance(say.message, LedgerEntry)]
    assert [entry.kind for entry in entries] == ["left", "approved", "dropped", "plan"]
    assert [(entry.round, entry.attempt) for entry in entries] == [(0, 0), (0, 0), (0, 0), (1, 0)]
    assert decode_content(entries[2]) == {"malformed": 1, "time": 2}
    for entry, left in zip(entries, (1, 0, 0, 0), strict=True):
        mark_recorded(state, entry)
        assert len(state.notes) == left
    assert state.drops == {}
    with pytest.raises(InvariantError, match="does not follow"):
        mark_recorded(state, entries[0])
