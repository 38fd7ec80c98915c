"""Numbers, times and currencies as people write them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from connectors.currency_signs import find_code, find_currencies
from connectors.number_text import build_number_parser
from connectors.time_text import count_digits, parse_by_pattern, parse_iso


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("€ 12,50", ("EUR",)), ("12.50 USD", ("USD",)), ("US$5", ("USD",)), ("R$ 5", ("BRL",)), ("NZ$1", ("NZD",)), ("12 kr", ("SEK", "NOK", "DKK", "ISK")),
        ("12.50", ()), ("total", ()), ("EURO", ()), ("xEUR", ()),
    ],
)  # fmt: skip
def test_a_sign_or_code_in_an_amount_means_these_currencies(text: str, codes: tuple[str, ...]) -> None:
    assert find_currencies(text) == codes


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("€", "EUR"), (" 978 ", "EUR"), ("036", "AUD"), ("36", "AUD"), ("kr.", "SEK"), ("kr", "SEK"), ("Rs.", "INR"), ("Fr.", "CHF"), ("¥", "JPY"),
        ("EUR", None), ("0", None), ("", None),
    ],
)  # fmt: skip
def test_a_column_of_signs_or_numbers_has_a_likeliest_code(text: str, code: str | None) -> None:
    assert find_code(text) == code


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "number"),
    [
        (".", None, "1.5", "1.5"), (",", ".", "1.234,56", "1234.56"), (".", ",", "1,23,456", "123456"), (",", " ", "1\u00a0234", "1234"), (".", "'", "1\u2019234.5", "1234.5"),
        (",", ".", "€ 12,-", "12"), (",", ".", "12,--", "12"), (".", ",", "$1,299.00", "1299.00"), (".", None, "(12.00)", "-12.00"), (".", None, "12.00-", "-12.00"),
        (".", None, "\u221212", "-12"), (".", None, "+12", "12"), (".", None, "-$5", "-5"), (".", None, "$-5", "-5"), (".", None, ".5", "0.5"), (".", None, "5 EUR", "5"),
    ],
)  # fmt: skip
def test_numbers_are_read_by_their_signs(decimal: str, thousands: str | None, text: str, number: str) -> None:
    assert build_number_parser(decimal, thousands)(text) == Decimal(number)


@pytest.mark.parametrize(
    ("decimal", "thousands", "text"),
    [
        (".", None, "1,5"), (",", ".", "1.23"), (".", ",", "1,2345"), (".", None, "(12"), (".", None, "12)"), (".", None, "(-12)"), (".", None, "-12-"),
        (".", None, ""), (".", None, "twelve"), (".", None, "1.2.3"), (".", None, "€"),
    ],
)  # fmt: skip
def test_what_is_no_number_of_the_form_is_none(decimal: str, thousands: str | None, text: str) -> None:
    assert build_number_parser(decimal, thousands)(text) is None


@pytest.mark.parametrize(
    ("text", "form", "moment"),
    [
        ("01.09.2026 14:05", "%d.%m.%Y %H:%M", "2026-09-01T14:05:00"), ("9/1/2026 2:05 p. m.", "%m/%d/%Y %I:%M %p", "2026-09-01T14:05:00"),
        ("9/1/2026 2:05 a.m.", "%m/%d/%Y %I:%M %p", "2026-09-01T02:05:00"), ("Tue Sep 01 14:05:00 CEST 2026", "%a %b %d %H:%M:%S %Z %Y", "2026-09-01T12:05:00+00:00"),
        ("2026-09-01 14:05 Europe/Berlin", "%Y-%m-%d %H:%M %Z", "2026-09-01T12:05:00+00:00"), ("2026-09-01 14:05 EST", "%Y-%m-%d %H:%M %Z", "2026-09-01T19:05:00+00:00"),
        ("MON 2026-09-01 14:05 GMT", "MON %Y-%m-%d %H:%M %Z", "2026-09-01T14:05:00+00:00"), ("01092026", "%d%m%Y", "2026-09-01T00:00:00"),
    ],
)  # fmt: skip
def test_times_are_read_by_their_pattern(text: str, form: str, moment: str) -> None:
    assert parse_by_pattern(text, form) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1092026", "%d%m%Y"), ("2026-09-01 14:05 CST", "%Y-%m-%d %H:%M %Z"), ("2026-09-01 14:05", "%Y-%m-%d %H:%M %Z"),
        ("2026-09-01 14:05 Mars/Olympus", "%Y-%m-%d %H:%M %Z"), ("2026-13-01", "%Y-%m-%d"),
    ],
)  # fmt: skip
def test_times_that_do_not_fit_or_name_several_zones_are_refused(text: str, form: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some of it is told in Python's words
        parse_by_pattern(text, form)


def test_iso_8601_may_end_in_the_name_of_a_zone() -> None:
    assert parse_iso("2026-09-01T14:05:00Z") == datetime(2026, 9, 1, 14, 5, tzinfo=UTC)
    assert parse_iso("2026-09-01T14:05:00").tzinfo is None
    assert parse_iso("2026-09-01T14:05:00[Europe/Berlin]") == datetime(2026, 9, 1, 12, 5, tzinfo=UTC)
    assert parse_iso("2026-09-01T14:05:00+05:00[Europe/Berlin]").utcoffset() == timedelta(hours=5)


@pytest.mark.parametrize(
    ("form", "digits"), [("%Y%m%d", 8), ("%d%m%Y%H%M%S", 14), ("%y%m", 4), ("%Y-%m", None), ("iso", None)]
)
def test_a_pattern_of_digits_alone_has_a_width(form: str, digits: int | None) -> None:
    assert count_digits(form) == digits
