"""What an operator types finds the entity under every value that records may hold."""

import pytest

from contract.errors import ConfigurationError
from contract.settings import Settings
from contract.tokens import build_tokeniser, normalise
from tillguard.commands.lists import parse_period
from tillguard.operations.entity_values import find_values

KEYS = {
    "token_keys": {"old": "0" * 32, "new": "1" * 32},
    "token_key_id": "new",
    "token_previous_key_id": "old",
}


def settings(**connectors: object) -> Settings:
    return Settings(retailer="shop", connectors=connectors or KEYS)


def test_personal_data_is_sought_as_its_tokens_only_the_newest_first() -> None:
    tokens = build_tokeniser(settings().connectors)
    card = normalise("card", "4111 1111 1111 1111")
    assert find_values(settings(), "card", "4111-1111-1111-1111", is_token=False) == [
        tokens.make_token("card", card),
        tokens.make_alias("card", card),
    ]


def test_other_fields_are_sought_as_they_are_and_as_tokens() -> None:
    found = find_values(settings(), "customer", "4711", is_token=False)
    assert found[0] == "4711"
    assert [value.split(".")[0] for value in found[1:]] == ["new", "old"]


def test_a_token_is_taken_as_it_is() -> None:
    assert find_values(settings(), "card", "new.abc", is_token=True) == ["new.abc"]


def test_a_field_that_is_not_tokenised_needs_no_key() -> None:
    bare = Settings(retailer="shop")
    assert find_values(bare, "customer", "4711", is_token=False) == ["4711"]
    with pytest.raises(ConfigurationError, match="token_key_id"):
        find_values(bare, "card", "4111", is_token=False)


@pytest.mark.parametrize(("entity", "value"), [("shoe", "1"), ("card", ""), ("ip", "not-an-address")])
def test_nonsense_is_refused_without_repeating_the_value(entity: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_values(settings(), entity, value, is_token=False)
    assert not value or value not in str(caught.value).replace("entity", "")


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)])
def test_periods_are_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_period(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "0d", "d", "3 d", "-1h", "1w"])
def test_other_periods_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_period(text)
