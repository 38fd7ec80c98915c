"""What the ledger says of very large cohorts still fits into an entry, and can be checked."""

import hashlib
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from contract.federation.fields import COHORT_MAX
from contract.federation.messages import LedgerEntry, RoundPlan, StageOver, TensorShape, decode_message, encode_message
from contract.federation.settings import CoordinatorSettings, RoundSettings
from federation.audit.history import decode_content, list_rounds
from federation.coordinator.attempt import Attempt, build_rules
from federation.coordinator.collection import Collection
from federation.coordinator.recording import NAMES_MAX, Say, build_entries
from federation.coordinator.state import CoordinatorState
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
