"""Passwords: how they are kept, and which ones are refused."""

from typing import cast

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from backoffice.accounts.passwords import Passwords, list_password_faults
from support.accounts import CHEAP

GOOD = SecretStr("planted horse battery 7")


def test_at_the_usual_cost_a_hash_is_argon2id_as_owasp_asks_for() -> None:
    passwords = Passwords()
    kept = passwords.hash(GOOD)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.verify(kept, GOOD)
    assert not passwords.verify(kept, SecretStr("planted horse battery 8"))
    assert not passwords.needs_rehash(kept)


def test_the_same_password_gives_another_hash_each_time_and_nobody_has_the_one_for_nobody() -> None:
    passwords = Passwords(CHEAP)
    assert passwords.hash(GOOD) != passwords.hash(GOOD)
    for text in ("nobody's password, which no one can give", "", "x"):
        assert not passwords.verify(None, SecretStr(text))


def test_what_is_no_hash_matches_nothing() -> None:
    assert not Passwords(CHEAP).verify("plain text", SecretStr("plain text"))


def test_an_accent_is_the_same_however_the_keyboard_writes_it() -> None:
    passwords = Passwords(CHEAP)
    assert passwords.verify(passwords.hash(SecretStr("caf\u00e9 au lait noir")), SecretStr("cafe\u0301 au lait noir"))


def test_hostile_text_is_wrong_and_nothing_worse() -> None:
    passwords = Passwords(CHEAP)
    kept = passwords.hash(SecretStr("a" * 300))
    for text in ("\ud800", "\x00" * 40, "a" * 10_000_000):
        assert not passwords.verify(None, SecretStr(text))
        passwords.verify(kept, SecretStr(text))


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "length"), ("eleven-long", "length"), ("x" * 257, "length"), ("aaaaaaaaaaaa", "guessable"),
        ("ababababababab", "guessable"), ("ann@example.org", "guessable"), ("ANN@EXAMPLE.ORG", "guessable"),
    ],
)  # fmt: skip
def test_what_is_short_or_easy_to_guess_is_refused_without_being_repeated(password: str, code: str) -> None:
    faults = list_password_faults(SecretStr(password), "ann@example.org")
    assert [(each.pointer, each.code) for each in faults] == [("/password", code)]
    assert not password or password not in faults[0].text


def test_a_sentence_is_a_password() -> None:
    assert list_password_faults(GOOD, "ann") == []


def test_for_nobody_a_hash_of_the_same_cost_is_computed() -> None:
    passwords = Passwords(CHEAP)
    hasher, seen = passwords._hasher, list[str]()

    class Watching:
        def verify(self, kept: str, given: bytes) -> bool:
            seen.append(kept)
            return hasher.verify(kept, given)

    passwords._hasher = cast("PasswordHasher", Watching())
    assert not passwords.verify(None, GOOD)
    assert passwords.verify(hasher.hash(GOOD.get_secret_value()), GOOD)
    costs = [each.rsplit("$", 2)[0] for each in seen]
    assert costs == ["$argon2id$v=19$m=8,t=1,p=1"] * 2
