"""How an access token is written, and what is no token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.accounts.token_text import format_token, hash_token, parse_token

SECRET = bytes(range(32))


@given(st.from_regex(r"[a-z][a-z0-9-]{0,47}", fullmatch=True), st.binary(min_size=32, max_size=32), st.booleans())
def test_every_token_says_whose_it_is_and_whether_it_is_of_the_sandbox(
    retailer: str, secret: bytes, sandbox: bool
) -> None:
    assert parse_token(format_token(retailer, secret, sandbox=sandbox)) == (retailer, sandbox)


def test_a_retailer_called_sandbox_is_not_the_sandbox() -> None:
    assert parse_token(format_token("sandbox", SECRET, sandbox=False)) == ("sandbox", False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tg_meadow",
        "tg_meadow_",
        "tg_meadow_" + "0" * 63,
        "tg_meadow_" + "0" * 65,
        "tg_meadow_" + "A" * 64,
        "tg_Meadow_" + "0" * 64,
        "tg_*_" + "0" * 64,
        "tg_meadow_test_" + "0" * 64,
        "tg_meadow_" + "0" * 64 + "\n",
        " tg_meadow_" + "0" * 64,
        "tg_meadow_" + "\u0660" * 64,
    ],
)
def test_what_looks_otherwise_is_no_token(text: str) -> None:
    assert parse_token(text) is None


def test_a_token_needs_all_of_its_chance() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        format_token("meadow", SECRET[:-1], sandbox=False)


def test_a_hash_is_the_sha256_of_the_whole_text() -> None:
    text = format_token("meadow", SECRET, sandbox=False)
    assert hash_token(text) != hash_token(format_token("harbour", SECRET, sandbox=False))
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
