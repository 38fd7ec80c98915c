from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidEventError
from contract.money import AMOUNT_MINOR_MAX, convert_to_base_minor, get_exponent, to_minor


@pytest.mark.parametrize(
    ("currency", "digits"), [("EUR", 2), ("INR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("CLP", 0)]
)
def test_a_currency_has_the_digits_that_iso_4217_gives_it(currency: str, digits: int) -> None:
    assert get_exponent(currency) == digits


def test_the_currencies_without_two_digits_are_these() -> None:
    digits = {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }
    told = {code: count for count, codes in digits.items() for code in codes.split()}
    assert {code: get_exponent(code) for code in told} == told
    assert {get_exponent(code) for code in ("USD", "GBP", "CHF", "PLN", "BRL", "XXX")} == {2}


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("19.99", "EUR", 1999),
        (19.99, "EUR", 1999),
        (Decimal("19.99"), "EUR", 1999),
        (0.1 + 0.2, "EUR", 30),
        ("0.005", "EUR", 0),
        ("0.015", "EUR", 2),
        ("0.025", "EUR", 2),
        ("-0.015", "EUR", -2),
        ("100.5", "JPY", 100),
        ("101.5", "JPY", 102),
        ("1.2345", "KWD", 1234),
        ("1e3", "EUR", 100_000),
        ("1e-999999", "EUR", 0),
    ],
)
def test_a_major_amount_becomes_minor_units_rounded_half_to_even(amount: Any, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "inf", "-inf", "", "twelve", "1e999999", "-1e999999", "1e9999999999", "1,5", "0x10"]
)
def test_what_is_no_believable_number_is_refused_at_once(amount: Any) -> None:
    with pytest.raises(InvalidEventError) as caught:
        to_minor(amount, "EUR")
    assert caught.value.reason == "amount_invalid"


def refusal(amount: Any) -> InvalidEventError | None:
    try:
        to_minor(amount, "EUR")
    except InvalidEventError as error:
        return error
    return None


@given(st.text(max_size=30) | st.floats() | st.integers() | st.booleans() | st.none())
def test_no_amount_raises_anything_but_an_invalid_event(amount: Any) -> None:
    error = refusal(amount)
    assert error is None or error.reason == "amount_invalid"


@given(st.text(alphabet="0123456789eE+-.,_", max_size=40).map(lambda text: f"{text}4111111111111111"))
def test_a_refused_amount_is_not_repeated(amount: str) -> None:
    assert "4111" not in str(refusal(amount))


@given(st.integers(0, AMOUNT_MINOR_MAX))
def test_the_base_currency_itself_is_never_rounded(amount: Any) -> None:
    assert convert_to_base_minor(amount, "EUR", "EUR", {}) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "base", "rate", "expected"),
    [
        (100, "USD", "EUR", 0.9, 90),
        (10_000, "JPY", "EUR", 0.006, 6000),
        (1_000, "KWD", "EUR", 3.0, 300),
        (100, "EUR", "JPY", 160.0, 160),
        (1, "USD", "EUR", 0.5, 0),
        (3, "USD", "EUR", 0.5, 2),
    ],
)
def test_a_rate_is_worth_major_units_whatever_the_digits_of_the_two(
    amount: Any, currency: str, base: str, rate: float, expected: int
) -> None:
    assert convert_to_base_minor(amount, currency, base, {currency: rate}) == expected


def test_an_unknown_rate_names_the_currency_and_where_to_add_it() -> None:
    with pytest.raises(InvalidEventError) as caught:
        convert_to_base_minor(1, "USD", "EUR", {"GBP": 1.1})
    assert (caught.value.reason, "USD" in caught.value.detail, "rates" in caught.value.detail) == (
        "currency_unknown",
        True,
        True,
    )


@pytest.mark.parametrize("rate", [1e9, float("inf"), float("nan")])
def test_an_amount_beyond_belief_in_the_base_currency_is_refused(rate: float) -> None:
    with pytest.raises(InvalidEventError) as caught:
        convert_to_base_minor(AMOUNT_MINOR_MAX, "USD", "EUR", {"USD": rate})
    assert caught.value.reason == "amount_invalid"
