"""Proposals that wait for a second person, over every database: each step is taken once, and by whom it may be."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backoffice.accounts.approval_store import ApprovalStore
from backoffice.accounts.approvals import hash_document
from backoffice.accounts.permissions import Action, Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.refusals import NotAllowedError, StateConflictError, UnknownObjectError
from support.accounts import Accounts, open_accounts

OPERATOR = frozenset({Grant("meadow", Role.OPERATOR)})
ANN, BOB = Principal("person", "p1", "ann", OPERATOR), Principal("person", "p2", "bob", OPERATOR)
DOCUMENT = {"version": "2026-05-01", "reason": "fewer false alarms"}


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    with open_accounts(database_url) as opened:
        yield opened


@pytest.fixture
def approvals(accounts: Accounts) -> ApprovalStore:
    return ApprovalStore(accounts.database, accounts.trail, accounts.clock)


def proposed(approvals: ApprovalStore) -> str:
    return approvals.propose(ANN, "meadow", Action.SERVE_RULES, DOCUMENT, "fewer false alarms").approval_id


def test_what_one_proposes_and_another_approves_is_applied_once(approvals: ApprovalStore, accounts: Accounts) -> None:
    number = proposed(approvals)
    assert approvals.approve(BOB, "meadow", number).approved_by == "bob"
    assert approvals.begin(BOB, "meadow", number).document == DOCUMENT
    with pytest.raises(StateConflictError, match="applying already"):
        approvals.begin(ANN, "meadow", number)
    assert approvals.finish(BOB, "meadow", number, done=True).state == "applied"
    with pytest.raises(StateConflictError, match="nobody is applying"):
        approvals.finish(BOB, "meadow", number, done=False)
    told = [(each.who_name, each.details) for each in reversed(accounts.trail.list_entries("meadow"))]
    steps = [("ann", "proposed"), ("bob", "approved"), ("bob", "applying"), ("bob", "applied")]
    assert told == [(who, {"state": state, "document_sha256": hash_document(DOCUMENT)}) for who, state in steps]


def test_nobody_approves_the_own_proposal(approvals: ApprovalStore) -> None:
    number = proposed(approvals)
    with pytest.raises(NotAllowedError, match="second person"):
        approvals.approve(ANN, "meadow", number)
    assert approvals.get("meadow", number).state == "proposed"


def test_another_retailer_knows_nothing_of_it(approvals: ApprovalStore) -> None:
    number = proposed(approvals)
    with pytest.raises(UnknownObjectError):
        approvals.approve(BOB, "harbour", number)
    assert approvals.list_proposals("harbour") == []
    assert [each.approval_id for each in approvals.list_proposals("meadow")] == [number]


def test_of_many_who_apply_at_once_one_does(approvals: ApprovalStore) -> None:
    number = proposed(approvals)
    approvals.approve(BOB, "meadow", number)

    def apply(_: int) -> bool:
        try:
            approvals.begin(BOB, "meadow", number)
        except StateConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(apply, range(8))) == 1


def test_what_was_changed_after_the_approval_is_not_applied(approvals: ApprovalStore, accounts: Accounts) -> None:
    number = proposed(approvals)
    approvals.approve(BOB, "meadow", number)
    with accounts.database.begin() as connection:
        connection.execute(sa.text("""UPDATE approvals SET document = '{"version": "another"}'"""))
    with pytest.raises(StateConflictError, match="not what was approved"):
        approvals.begin(BOB, "meadow", number)


def test_a_proposal_is_too_old_after_a_day_and_can_be_withdrawn_by_either(
    approvals: ApprovalStore, accounts: Accounts
) -> None:
    first, second = proposed(approvals), proposed(approvals)
    approvals.approve(BOB, "meadow", second)
    accounts.clock.advance(86_400)
    for step, number in ((approvals.approve, first), (approvals.begin, second)):
        with pytest.raises(StateConflictError, match="in time"):
            step(BOB, "meadow", number)
    assert approvals.withdraw(ANN, "meadow", first).state == "withdrawn"
    assert approvals.withdraw(BOB, "meadow", second).state == "withdrawn"
    with pytest.raises(StateConflictError, match="withdrawn already"):
        approvals.withdraw(BOB, "meadow", second)
