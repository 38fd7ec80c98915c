"""Tokens: equal data gives equal tokens, nothing else can be read from them."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from contract.errors import ConfigurationError, InvalidEventError
from contract.settings import ConnectorSettings
from contract.tokens import Tokeniser, build_tokeniser, normalise
from support.connector_parts import tokens

SPELLINGS = {
    "email": ["Ann@Example.com", " ann@example.COM ", "ann@example.com"],
    "card": ["4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"],
    "phone": ["+49 30 1234-5", "0049 (30) 12345", "+493012345"],
    "ip": ["10.0.0.1", " 10.0.0.1", "::ffff:10.0.0.1"],
    "address": ["12, Main St.", "12 main  st", "\uff11\uff12 MAIN ST"],
}


@pytest.mark.parametrize("field", SPELLINGS)
def test_spellings_of_the_same_thing_give_one_token(field: str) -> None:
    made = {tokens().make_token(field, normalise(field, text)) for text in SPELLINGS[field]}
    assert len(made) == 1


def test_the_same_text_in_another_field_gives_another_token() -> None:
    made = [tokens().make_token(field, "12345") for field in SPELLINGS]
    assert all(a != b for a, b in combinations(made, 2))


def test_a_token_carries_its_key_and_144_bits() -> None:
    assert re.fullmatch(r"k1\.[A-Za-z0-9_-]{24}", tokens().make_token("card", "4111111111111111"))


def test_a_known_token_never_changes() -> None:
    # windows of every retailer hang on this
    assert tokens().make_token("email", "ann@example.com") == "k1.dSGohcXuQZMpm5GG70Yut6Gc"


def test_while_a_key_rotates_the_alias_is_the_token_of_before() -> None:
    before = Tokeniser({"k0": bytes(range(32, 64))}, "k0")
    assert tokens(rotating=True).make_alias("card", "4111") == before.make_token("card", "4111")
    assert tokens().make_alias("card", "4111") is None


@given(st.text(max_size=40).filter(str.strip))
def test_no_token_shows_its_value(text: str) -> None:
    spelled = normalise("card", text)
    token = tokens().make_token("card", spelled)
    assert len(spelled) < 4 or spelled not in token


def test_what_is_no_network_address_is_refused_without_being_quoted() -> None:
    with pytest.raises(InvalidEventError) as refused:
        normalise("ip", "secret-host")
    assert refused.value.reason == "field_invalid"
    assert "secret-host" not in str(refused.value)


def test_settings_without_a_key_say_how_to_make_one() -> None:
    with pytest.raises(ConfigurationError, match="openssl rand -hex 32"):
        build_tokeniser(ConnectorSettings())


def test_every_fault_of_the_keys_is_listed_without_showing_a_key() -> None:
    bad = ConnectorSettings(
        token_keys={"bad id!": SecretStr("z" * 32), "k1": SecretStr("ab" * 16)},
        token_key_id="k1",
        token_previous_key_id="k1",
    )
    with pytest.raises(ConfigurationError) as refused:
        build_tokeniser(bad)
    assert len(refused.value.faults) == 3
    assert "zzz" not in str(refused.value)
