"""People over every database: signing in by password and link, what ends a session, and what a stranger can learn."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.passwords import HashCost, Passwords
from backoffice.accounts.permissions import EVERYWHERE, Action, Role
from backoffice.accounts.principal import Grant
from backoffice.accounts.sessions import Sessions
from backoffice.accounts.sign_in import SignIn
from backoffice.refusals import (
    InvalidInputError,
    NotSignedInError,
    StateConflictError,
    UnknownObjectError,
    WaitRequiredError,
)
from support.accounts import CHEAP, PASSWORD, ROOT, Accounts, open_accounts

ANALYST = Grant("meadow", Role.ANALYST)
WRONG = SecretStr("quite another password")


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    with open_accounts(database_url) as opened:
        yield opened


def refusal_of(accounts: Accounts, name: str, password: SecretStr = WRONG, address: str = "10.0.0.1") -> str:
    with pytest.raises(NotSignedInError) as caught:
        accounts.sign_in.open_by_password(name, password, address)
    return str(caught.value)


def test_a_person_signs_in_under_the_name_however_it_is_written_and_has_the_roles_of_the_moment(
    accounts: Accounts,
) -> None:
    ann = accounts.people.create(ROOT, "Ann@Example.org", [ANALYST], PASSWORD)
    assert ann.name == "ann@example.org"
    signed_in = accounts.sign_in.open_by_password(" ANN@example.org ", PASSWORD, "10.0.0.1")
    principal = accounts.sessions.authenticate(signed_in.session)
    assert principal == ann.as_principal()
    accounts.people.set_roles(ROOT, ann.person_id, "meadow", [Role.VIEWER])
    later = accounts.sessions.authenticate(signed_in.session)
    assert later is not None
    assert (later.may(Action.READ_CASES, "meadow"), later.may(Action.DECIDE_CASES, "meadow")) == (True, False)


def test_whoever_fails_learns_nothing_of_who_there_is(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str | None] = []
    verify = Passwords.verify

    def counted(own: Passwords, kept: str | None, given: SecretStr) -> bool:
        verified.append(kept)
        return verify(own, kept, given)

    monkeypatch.setattr(Passwords, "verify", counted)
    gone = accounts.people.create(ROOT, "gone", [ANALYST], PASSWORD)
    accounts.people.disable(ROOT, gone.person_id)
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    accounts.people.create(ROOT, "linked", [ANALYST])
    said = {
        refusal_of(accounts, "ann"),
        refusal_of(accounts, "linked"),
        refusal_of(accounts, "gone", PASSWORD),
        refusal_of(accounts, "nobody"),
        refusal_of(accounts, "no \x00 name\ud800"),
        refusal_of(accounts, "x" * 1_000),
    }
    assert len(said) == 1
    assert len(verified) == 6  # a hash is computed each time
    refused = [entry for entry in accounts.trail.list_entries(EVERYWHERE) if entry.outcome == "refused"]
    assert len(refused) == 6
    assert {entry.who_name for entry in refused} == {""}


def test_after_some_failures_an_account_waits_and_one_that_nobody_has_waits_alike(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    for name in ("ann", "nobody"):
        for number in range(5):
            refusal_of(accounts, name, address=f"10.0.0.{number}")
        with pytest.raises(WaitRequiredError) as caught:
            accounts.sign_in.open_by_password(name, PASSWORD, "10.0.1.1")
        assert caught.value.wait_s == 1
    accounts.clock.advance(1)
    accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.1.1")
    refusal_of(accounts, "ann", address="10.0.2.2")  # a success has made the account new


def test_an_address_that_tries_many_names_waits_too(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    for number in range(20):
        refusal_of(accounts, f"name{number}")
    with pytest.raises(WaitRequiredError):
        accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1")
    accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.2")


def test_guesses_made_at_once_count_as_well_as_one_after_another(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)

    def guess(number: int) -> str:
        try:
            accounts.sign_in.open_by_password("ann", WRONG, f"10.0.0.{number}")
        except NotSignedInError:
            return "looked at"
        except WaitRequiredError:
            return "not looked at"
        return "in"

    with ThreadPoolExecutor(4) as pool:
        came = list(pool.map(guess, range(12)))
    assert sorted(came) == ["looked at"] * 5 + ["not looked at"] * 7


@pytest.mark.parametrize(("seconds", "lives"), [(3_599, True), (3_601, False)])
def test_a_session_that_nobody_uses_ends_after_an_hour(accounts: Accounts, seconds: int, lives: bool) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    session = accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1").session
    accounts.clock.advance(seconds)
    assert (accounts.sessions.authenticate(session) is not None) == lives


def test_a_session_in_use_ends_after_half_a_day(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    session = accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1").session
    for _ in range(24):
        accounts.clock.advance(1_800)
        assert accounts.sessions.authenticate(session) is not None
    accounts.clock.advance(1_800)
    assert accounts.sessions.authenticate(session) is None


def test_signing_in_again_ends_the_session_that_the_browser_had(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    first = accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1").session
    second = accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1", previous=first).session
    assert first.get_secret_value() != second.get_secret_value()
    assert accounts.sessions.authenticate(first) is None
    assert accounts.sessions.authenticate(second) is not None


def test_sessions_end_by_signing_out_by_an_admin_by_a_new_password_and_with_the_account(accounts: Accounts) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)

    def opened() -> SecretStr:
        return accounts.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1").session

    kept, session = opened(), opened()
    accounts.sign_in.close(ann.as_principal(), session)
    assert accounts.sessions.authenticate(session) is None
    assert accounts.sessions.authenticate(kept) is not None
    assert accounts.sign_in.close_all(ROOT, ann.person_id) == 1
    link, session = accounts.sign_in.make_link(ROOT, ann.person_id), opened()
    accounts.people.set_password(ROOT, ann.person_id, PASSWORD)
    assert accounts.sessions.authenticate(session) is None
    with pytest.raises(NotSignedInError):
        accounts.sign_in.open_by_link(link)
    session = opened()
    accounts.people.disable(ROOT, ann.person_id)
    assert accounts.sessions.authenticate(session) is None
    with pytest.raises(UnknownObjectError, match="is disabled"):
        accounts.sign_in.make_link(ROOT, ann.person_id)
    accounts.people.enable(ROOT, ann.person_id)
    assert accounts.sessions.authenticate(session) is None
    assert accounts.sessions.authenticate(opened()) is not None


def test_who_is_disabled_while_the_password_is_looked_at_does_not_come_in(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    verify = Passwords.verify

    def slow(own: Passwords, kept: str | None, given: SecretStr) -> bool:
        accounts.people.disable(ROOT, ann.person_id)
        return verify(own, kept, given)

    monkeypatch.setattr(Passwords, "verify", slow)
    refusal_of(accounts, "ann", PASSWORD)


def test_a_link_lets_its_person_in_once_and_only_for_some_minutes(accounts: Accounts) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST])
    link = accounts.sign_in.make_link(ROOT, ann.person_id)
    late = accounts.sign_in.make_link(ROOT, ann.person_id, lasts=timedelta(minutes=2))
    assert accounts.sign_in.open_by_link(link).person == ann
    accounts.clock.advance(120)
    for each in (link, late, SecretStr("0" * 64), SecretStr("x")):
        with pytest.raises(NotSignedInError):
            accounts.sign_in.open_by_link(each)


def test_of_many_who_follow_a_link_at_once_one_comes_in(accounts: Accounts) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST])
    link = accounts.sign_in.make_link(ROOT, ann.person_id)

    def follow(_: int) -> bool:
        try:
            accounts.sign_in.open_by_link(link)
        except NotSignedInError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(follow, range(8))) == 1


def test_a_password_kept_at_another_cost_is_hashed_again_when_its_person_signs_in(accounts: Accounts) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    dearer = Passwords(HashCost(memory_kib=CHEAP.memory_kib * 2, passes=1))
    upgraded = SignIn(accounts.database, accounts.trail, dearer, accounts.sessions, accounts.clock)

    def kept() -> str:
        with accounts.database.begin() as connection:
            return str(connection.scalar(sa.text("SELECT password_hash FROM people")))

    assert "m=8," in kept()
    upgraded.open_by_password("ann", PASSWORD, "10.0.0.1")
    assert "m=16," in kept()
    assert accounts.people.get(ann.person_id) == ann
    upgraded.open_by_password("ann", PASSWORD, "10.0.0.1")


def test_a_name_is_taken_once_however_it_is_written(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [])
    with pytest.raises(StateConflictError, match="of that name already"):
        accounts.people.create(ROOT, "ANN ", [ANALYST])
    assert [each.grants for each in accounts.people.list_people()] == [frozenset()]


def test_every_fault_of_a_new_person_is_named_and_no_value(accounts: Accounts) -> None:
    with pytest.raises(InvalidInputError) as caught:
        accounts.people.create(ROOT, "two words", [Grant("No Retailer", Role.VIEWER)], SecretStr("planted"))
    assert [each.pointer for each in caught.value.fields] == ["/name", "/retailer", "/password"]
    assert "planted" not in str(caught.value)


def test_an_admin_of_one_retailer_sees_its_people_with_their_roles_there(accounts: Accounts) -> None:
    accounts.people.create(ROOT, "ann", [ANALYST, Grant("harbour", Role.OFFICER)])
    accounts.people.create(ROOT, "bob", [Grant("harbour", Role.VIEWER)])
    accounts.people.create(ROOT, "root", [Grant(EVERYWHERE, Role.ADMIN)])
    seen = {each.name: each.grants for each in accounts.people.list_people("meadow")}
    assert seen == {"ann": {ANALYST}, "root": {Grant(EVERYWHERE, Role.ADMIN)}}
    assert [each.name for each in accounts.people.list_people()] == ["ann", "bob", "root"]


def test_changes_of_people_stand_in_the_trail_once_each(accounts: Accounts) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    for _ in range(2):
        accounts.people.set_roles(ROOT, ann.person_id, "meadow", [Role.OPERATOR, Role.ANALYST])
        accounts.people.disable(ROOT, ann.person_id)
    told = [
        [entry.details["change"] for entry in reversed(accounts.trail.list_entries(chain))]
        for chain in (EVERYWHERE, "meadow")
    ]
    assert told == [["created", "disabled"], ["roles: analyst", "roles: analyst, operator"]]
    assert all(accounts.trail.verify(chain).holds for chain in (EVERYWHERE, "meadow"))


def test_no_secret_is_kept_as_it_is_or_shown(accounts: Accounts, database_url: str) -> None:
    ann = accounts.people.create(ROOT, "ann", [ANALYST], PASSWORD)
    link = accounts.sign_in.make_link(ROOT, ann.person_id)
    signed_in = accounts.sign_in.open_by_password("ann", PASSWORD, "10.99.0.1")
    refusal_of(accounts, PASSWORD.get_secret_value(), WRONG)
    planted = [PASSWORD, WRONG, link, signed_in.session, SecretStr("10.99.0.1")]
    with accounts.database.begin() as connection:
        names = sa.inspect(connection).get_table_names()
        kept = "".join(str(connection.execute(sa.text(f"SELECT * FROM {name}")).all()) for name in names)
    shown = repr((signed_in, accounts.sign_in.__dict__, link)) + kept
    assert [each for each in planted if each.get_secret_value() in shown] == []


def test_a_session_of_another_form_is_none_and_asks_no_database(accounts: Accounts) -> None:
    accounts.database.close()
    assert Sessions.authenticate(accounts.sessions, SecretStr("../../etc")) is None
