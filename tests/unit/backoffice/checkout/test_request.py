"""From a request's body to a transaction: tokens as connectors make them, and faults by field."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backoffice.checkout.request import RequestReader, encode_content
from contract.codec import Admission
from contract.errors import InvalidEventError
from contract.tokens import Tokeniser, normalise

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
KEYS = {"k1": bytes(16), "k2": bytes(range(16))}
TOKENS = Tokeniser(KEYS, "k2", "k1")
PERSONAL = {
    "card": "4111 1111-1111 1111",
    "email": " Ann@Example.com ",
    "phone": "0049 (30) 123",
    "ip": "::ffff:10.0.0.1",
    "address": "1, Main St.",
}


def reader(**options: Any) -> RequestReader:
    return RequestReader(Admission("meadow", "EUR", {"USD": 0.5}), TOKENS, **options)


def body(**changes: Any) -> bytes:
    usual = {"transaction_id": "a", "event_time": NOW.isoformat(), "currency": "EUR", "amount": "12.50"}
    return json.dumps({name: value for name, value in (usual | changes).items() if value is not None}).encode()


def test_personal_data_becomes_the_tokens_that_a_connector_makes_of_it() -> None:
    transaction, _ = reader().read(body(**PERSONAL), NOW)
    for name, raw in PERSONAL.items():
        assert getattr(transaction, name) == TOKENS.make_token(name, normalise(name, raw))
        assert transaction.aliases is not None
        assert transaction.aliases[name] == TOKENS.make_alias(name, normalise(name, raw))
    assert not any(raw.strip() in repr(transaction) for raw in PERSONAL.values())


def test_a_field_that_the_retailer_s_connectors_tokenise_is_tokenised_here_too() -> None:
    plain, _ = reader().read(body(customer="ann", device="d"), NOW)
    tokenised, _ = reader(tokenised=("customer",)).read(body(customer="ann", device="d"), NOW)
    assert (plain.customer, tokenised.device) == ("ann", "d")
    assert tokenised.customer == TOKENS.make_token("customer", "ann")


def test_an_amount_comes_in_major_or_minor_units_and_is_told_in_the_base_currency_too() -> None:
    assert reader().read(body(), NOW)[0].amount_minor == 1_250
    assert reader().read(body(amount=None, amount_minor=1_250), NOW)[1] == 1_250
    transaction, base = reader().read(body(currency="USD"), NOW)
    assert (transaction.amount_minor, base) == (1_250, 625)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transaction_id": None}, "transaction_id"),
        ({"transaction_id": ""}, "transaction_id"),
        ({"event_time": "2026-12-01T12:00:00"}, "event_time"),
        ({"event_time": (NOW + timedelta(hours=1)).isoformat()}, "event_time"),
        ({"event_time": "1999-01-01T00:00:00Z"}, "event_time"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "CHF"}, "currency"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "1e99"}, "amount"),
        ({"amount": "-0.01"}, "amount"),
        ({"amount_minor": 1}, "amount"),
        ({"amount": None}, "amount"),
        ({"ip": "somewhere"}, "ip"),
        ({"emial": "ann@example.com"}, "emial"),
        ({"card": ""}, "card"),
        ({"basket_items": -1}, "basket_items"),
        ({"country_ip": "Germany"}, "country_ip"),
    ],
)
def test_a_fault_names_its_field_and_no_value(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        reader().read(body(**changes), NOW)
    assert caught.value.field == field
    assert not any(
        isinstance(value, str) and len(value) > 3 and value in str(caught.value) for value in changes.values()
    )


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b'{"a":' * 100_000, b"\xff", b'{"card": 1}'])
def test_what_is_no_request_is_refused_whatever_it_is(data: bytes) -> None:
    with pytest.raises(InvalidEventError):
        reader().read(data, NOW)


def test_a_repeated_request_has_the_same_content_and_another_one_has_not() -> None:
    first, _ = reader().read(body(card="4111111111111111"), NOW)
    again, _ = reader().read(body(card="4111 1111 1111 1111"), NOW + timedelta(seconds=9))
    other, _ = reader().read(body(card="4111111111111112"), NOW)
    assert encode_content(first) == encode_content(again)
    assert encode_content(first) != encode_content(other)
