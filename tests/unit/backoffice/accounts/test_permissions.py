"""The table of roles, scopes and actions: what nobody may by mistake, and what each one is for."""

from itertools import product

import pytest

from backoffice.accounts.permissions import ALLOWED, APPROVABLE, EVERYWHERE, READ_ONLY, SANDBOX, Action, Role, Scope
from backoffice.accounts.principal import Grant, Principal, may_manage


def person(*grants: tuple[str, Role]) -> Principal:
    return Principal("person", "p1", "ann", frozenset(Grant(*each) for each in grants))


def machine(*scopes: Scope, sandbox: bool = False) -> Principal:
    return Principal("token", "t1", "till", frozenset(Grant("meadow", each) for each in scopes), sandbox=sandbox)


def test_each_role_and_scope_has_a_row_and_each_action_somebody_who_may_do_it() -> None:
    assert set(ALLOWED) == {*Role, *Scope}
    assert frozenset().union(*ALLOWED.values()) | SANDBOX == set(Action)


def test_a_viewer_and_a_reading_token_write_nothing() -> None:
    for reader in (Role.VIEWER, Scope.READ):
        assert ALLOWED[reader] <= READ_ONLY
        assert Action.LOOK_UP_ENTITIES not in ALLOWED[reader]


def test_what_is_read_only_is_told_by_its_name() -> None:
    verbs = {"read", "follow", "check", "look_up", "try"}
    assert {each for each in Action if each.partition(".")[2] in verbs} == READ_ONLY


@pytest.mark.parametrize(
    ("action", "roles"),
    [
        (Action.READ_CASES, set(Role)),
        (Action.DECIDE_CASES, {Role.ANALYST}),
        (Action.RESOLVE, {Role.ANALYST}),
        (Action.LOOK_UP_ENTITIES, {Role.ANALYST}),
        (Action.SET_LISTS, {Role.ANALYST, Role.ADMIN}),
        (Action.SET_LISTS_LONG, {Role.ADMIN}),
        (Action.SERVE_RULES, {Role.OPERATOR}),
        (Action.TRY_THRESHOLDS, set(Role)),
        (Action.SERVE_MODELS, {Role.OPERATOR}),
        (Action.RETRY_DEAD_LETTERS, {Role.OPERATOR}),
        (Action.APPROVE_MEMBERS, {Role.OFFICER}),
        (Action.MAKE_TOKENS, {Role.ADMIN}),
        (Action.READ_AUDIT, {Role.ADMIN}),
        (Action.SCORE, set()),
    ],
)
def test_an_action_is_the_business_of_these_roles_alone(action: Action, roles: set[Role]) -> None:
    assert {role for role in Role if action in ALLOWED[role]} == roles


def test_machines_may_neither_decide_cases_nor_make_machines_or_people() -> None:
    allowed = frozenset().union(*(ALLOWED[scope] for scope in Scope))
    assert allowed.isdisjoint(
        {Action.DECIDE_CASES, Action.MAKE_TOKENS, Action.WRITE_USERS, Action.READ_AUDIT, Action.LOOK_UP_ENTITIES}
    )


def test_what_needs_a_second_person_is_a_persons_or_a_machines_that_operates() -> None:
    assert {right for right, action in product(ALLOWED, APPROVABLE) if action in ALLOWED[right]} == {
        Role.OPERATOR,
        Scope.OPERATE,
    }


def test_a_role_holds_at_its_own_retailer_alone_and_everywhere_at_each() -> None:
    ann = person(("meadow", Role.ANALYST), ("harbour", Role.VIEWER))
    assert ann.may(Action.DECIDE_CASES, "meadow")
    assert not ann.may(Action.DECIDE_CASES, "harbour")
    assert not ann.may(Action.READ_CASES, "orchard")
    assert not ann.may(Action.READ_CASES, EVERYWHERE)
    assert ann.select_retailers(["orchard", "meadow", "harbour"]) == ["meadow", "harbour"]
    assert ann.select_where(Action.DECIDE_CASES, ["meadow", "harbour"]) == ["meadow"]
    root = person((EVERYWHERE, Role.ADMIN))
    assert root.may(Action.MAKE_TOKENS, "orchard")
    assert root.may(Action.MAKE_TOKENS, EVERYWHERE)
    assert not root.may(Action.DECIDE_CASES, "orchard")


def test_roles_at_one_retailer_add_up() -> None:
    both = person(("meadow", Role.ANALYST), ("meadow", Role.OPERATOR))
    assert both.may(Action.DECIDE_CASES, "meadow")
    assert both.may(Action.SERVE_RULES, "meadow")


def test_a_sandbox_token_may_use_the_sandbox_and_nothing_else_and_no_other_token_may() -> None:
    played = machine(*Scope, sandbox=True)
    assert [action for action in Action if played.may(action, "meadow")] == [Action.USE_SANDBOX]
    assert not played.may(Action.USE_SANDBOX, "harbour")
    assert not machine(*Scope).may(Action.USE_SANDBOX, "meadow")
    assert not person((EVERYWHERE, Role.ADMIN)).may(Action.USE_SANDBOX, "meadow")


def test_who_lets_a_person_sign_in_again_administers_each_retailer_of_that_person() -> None:
    admin = person(("meadow", Role.ADMIN))
    assert may_manage(admin, [Grant("meadow", Role.OPERATOR)])
    assert not may_manage(admin, [Grant("meadow", Role.VIEWER), Grant("harbour", Role.VIEWER)])
    assert not may_manage(admin, [Grant(EVERYWHERE, Role.VIEWER)])
    assert not may_manage(admin, [])
    assert not may_manage(person(("meadow", Role.OPERATOR)), [Grant("meadow", Role.VIEWER)])
    root = person((EVERYWHERE, Role.ADMIN))
    assert may_manage(root, [Grant(EVERYWHERE, Role.ADMIN), Grant("meadow", Role.VIEWER)])
    assert may_manage(root, [])
