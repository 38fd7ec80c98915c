"""The state machine of a second person: from which state which step may be taken, and by whom."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from backoffice.accounts.approvals import (
    COMES_FROM,
    Proposal,
    State,
    Step,
    check_step,
    encode_document,
    hash_document,
    needs_second_person,
)
from backoffice.accounts.permissions import APPROVABLE, Action, Role, Scope
from backoffice.accounts.principal import Grant, Principal
from backoffice.refusals import NotAllowedError, StateConflictError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DOCUMENT = {"version": "7"}
PROPOSAL = Proposal(
    "a1", "meadow", Action.SERVE_RULES, DOCUMENT, hash_document(DOCUMENT), "why", "p1", "ann", NOW, NOW + timedelta(days=1), "proposed"
)  # fmt: skip
OPERATOR = frozenset({Grant("meadow", Role.OPERATOR)})
ANN, BOB = Principal("person", "p1", "ann", OPERATOR), Principal("person", "p2", "bob", OPERATOR)
ALLOWED_STEPS = {
    ("proposed", "approve"), ("proposed", "withdraw"), ("approved", "withdraw"), ("approved", "apply"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "step"), list(product(get_args(State), get_args(Step))))
def test_a_step_is_taken_from_its_state_alone(state: State, step: Step) -> None:
    proposal = replace(PROPOSAL, state=state)
    if (state, step) in ALLOWED_STEPS:
        check_step(proposal, step, BOB, NOW)
    else:
        with pytest.raises(StateConflictError, match=state):
            check_step(proposal, step, BOB, NOW)
    assert set(COMES_FROM) == set(get_args(Step))


@pytest.mark.parametrize(
    "by",
    [
        Principal("person", "p3", "eve", frozenset({Grant("meadow", Role.ANALYST)})),
        Principal("person", "p3", "eve", frozenset({Grant("harbour", Role.OPERATOR)})),
        Principal("person", "p3", "eve", frozenset()),
        Principal("token", "t1", "robot", frozenset({Grant("meadow", Scope.OPERATE)})),
        Principal("shell", "root", "root", frozenset({Grant("*", Role.ADMIN)})),
    ],
)
@pytest.mark.parametrize("step", get_args(Step))
def test_only_a_person_with_the_right_takes_part(by: Principal, step: Step) -> None:
    with pytest.raises(NotAllowedError):
        check_step(replace(PROPOSAL, state="approved" if step == "apply" else "proposed"), step, by, NOW)


def test_who_proposed_it_may_apply_what_another_approved_and_not_approve_it() -> None:
    check_step(replace(PROPOSAL, state="approved"), "apply", ANN, NOW)
    with pytest.raises(NotAllowedError):
        check_step(PROPOSAL, "approve", ANN, NOW)


def test_the_last_moment_counts_and_the_next_does_not() -> None:
    check_step(PROPOSAL, "approve", BOB, PROPOSAL.expires_at - timedelta(milliseconds=1))
    with pytest.raises(StateConflictError):
        check_step(PROPOSAL, "approve", BOB, PROPOSAL.expires_at)


def test_a_document_is_the_same_however_its_keys_stand() -> None:
    assert encode_document({"b": 1, "a": [2]}) == b'{"a":[2],"b":1}'
    assert hash_document({"b": 1, "a": 2}) == hash_document({"a": 2, "b": 1}) != hash_document({"a": 2, "b": 2})


def test_a_second_person_is_asked_for_where_the_installation_says_so() -> None:
    assert {each for each in Action if needs_second_person(each, ("rules", "models", "thresholds"))} == APPROVABLE
    assert needs_second_person(Action.SERVE_RULES, ["rules"])
    assert not needs_second_person(Action.SERVE_MODELS, ["rules"])
    assert not needs_second_person(Action.SERVE_RULES, [])
    assert not needs_second_person(Action.WRITE_RULES, ["rules"])
