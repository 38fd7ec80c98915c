"""People, tokens and the audit trail on the command line, over a database in the state folder."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contract.errors import TillguardError
from tillguard.cli import app

PASSWORD = "planted horse battery 7"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILLGUARD_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*words: str, given: str = "") -> str:
    done = CliRunner().invoke(app, ["backoffice", *words], input=given, catch_exceptions=True)
    if isinstance(done.exception, TillguardError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_first_admin_is_made_with_a_password_from_a_line_and_nothing_repeats_it(state: Path) -> None:
    said = run("admin", "create", "Root", given=f"{PASSWORD}\n")
    assert said == "root: *:admin\n"
    said += run("users", "list") + run("audit", "verify")
    assert "root  *:admin" in said
    assert PASSWORD not in said
    assert all(PASSWORD.encode() not in file.read_bytes() for file in state.iterdir())


def test_a_password_is_no_option_and_a_bad_one_is_refused_by_its_rule() -> None:
    shown = CliRunner().invoke(app, ["backoffice", "admin", "create", "root", "--password", PASSWORD])
    assert shown.exit_code == 2
    assert PASSWORD not in shown.output
    for given in ("", "short\n"):
        with pytest.raises(TillguardError, match="password: must have 12 to 256 letters"):
            run("admin", "create", "root", given=given)
    assert "nobody yet" in run("users", "list")


def test_a_link_is_printed_instead_of_a_password() -> None:
    said = run("admin", "create", "root", "--link", "--role", "meadow:analyst")
    assert re.search(r"^http://127\.0\.0\.1:8484/sign-in#link=[0-9a-f]{64}$", said, re.MULTILINE)
    assert "root: *:admin, meadow:analyst" in said
    assert run("users", "link", "root").startswith("http://127.0.0.1:8484/sign-in#link=")


def test_a_person_gets_and_loses_roles_and_is_disabled_and_enabled() -> None:
    run("users", "add", "ann", "--role", "meadow:analyst", "--role", "harbour:viewer", given=f"{PASSWORD}\n")
    assert run("users", "roles", "ann", "--retailer", "meadow", "--role", "operator") == (
        "ann: harbour:viewer, meadow:operator\n"
    )
    assert run("users", "roles", "ann", "--retailer", "harbour") == "ann: meadow:operator\n"
    assert run("users", "list", "--retailer", "harbour").startswith("nobody")
    run("users", "disable", "ann")
    assert "disabled" in run("users", "list")
    run("users", "enable", "ann")
    assert "disabled" not in run("users", "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("users", "add", "ann", "--role", "analyst"), "RETAILER:ROLE"),
        (("users", "add", "ann", "--role", "meadow:chief"), "roles are viewer"),
        (("users", "disable", "nobody"), "no such person"),
        (
            ("tokens", "make", "--retailer", "meadow", "--name", "till", "--scope", "all"),
            "score, resolve, read, operate",
        ),
        (("tokens", "make", "--retailer", "Meadow", "--name", "till", "--scope", "score"), "lower-case letters"),
        (("tokens", "revoke", "0000", "--retailer", "meadow"), "no access token"),
        (("audit", "verify", "--noted", "missing.txt"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(TillguardError, match=re.escape(said)):
        run(*words, given=f"{PASSWORD}\n")


def test_a_token_is_shown_once_alone_on_its_line_and_revoked_by_its_id(state: Path) -> None:
    made = run(
        "tokens", "make", "--retailer", "meadow", "--name", "till", "--scope", "score", "--sandbox", "--days", "2"
    )
    assert re.fullmatch(r"tg_meadow_sandbox_[0-9a-f]{64}\n", made)
    listed = run("tokens", "list", "--retailer", "meadow")
    assert "till  score sandbox  never used  until" in listed
    assert made.strip() not in listed
    assert "has no access token" in run("tokens", "list", "--retailer", "harbour")
    run("tokens", "revoke", listed.split()[0], "--retailer", "meadow")
    assert "revoked by" in run("tokens", "list", "--retailer", "meadow")


def test_the_trail_is_checked_also_against_what_was_noted(state: Path) -> None:
    import sqlite3

    run("users", "add", "ann", "--role", "meadow:analyst", given=f"{PASSWORD}\n")
    noted = state / "noted.txt"
    noted.write_text(run("audit", "verify"))
    assert [line.split()[0] for line in noted.read_text().splitlines()] == ["*", "meadow"]
    run("users", "roles", "ann", "--retailer", "meadow", "--role", "viewer")
    run("audit", "verify", "--noted", str(noted))
    with sqlite3.connect(state / "backoffice.db") as database:
        database.execute("DELETE FROM audit_entries WHERE retailer = 'meadow'")
        database.execute("DELETE FROM audit_heads WHERE retailer = 'meadow'")
    database.close()
    run("audit", "verify")
    with pytest.raises(TillguardError, match="meadow: the newest 1 entries"):
        run("audit", "verify", "--noted", str(noted))
    noted.write_text("meadow 1:x\nmeadow")
    with pytest.raises(TillguardError, match=r"line 1: a head is NUMBER:DIGEST.*line 2"):
        run("audit", "verify", "--noted", str(noted))


def test_a_backup_goes_back_into_an_empty_installation_and_into_no_other(
    state: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("users", "add", "ann", "--role", "meadow:analyst", given=f"{PASSWORD}\n")
    file = state / "backup.gz"
    assert re.search(r"backup\.gz: \d+ rows", run("backup", str(file)))
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TillguardError, match="is there already"):
        run("backup", str(file))
    with pytest.raises(TillguardError, match="holds something already"):
        run("restore", str(file))
    with pytest.raises(TillguardError, match="cannot be read"):
        run("restore", str(state / "missing"))
    monkeypatch.setenv("TILLGUARD_STATE", str(tmp_path_factory.mktemp("other")))
    run("restore", str(file))
    assert "ann  meadow:analyst" in run("users", "list")
    assert run("audit", "verify").startswith("* 3:")
