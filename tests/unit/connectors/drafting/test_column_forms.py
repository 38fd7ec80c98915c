"""What fits a column: formats of time, signs of numbers, encodings and delimiters; never guessed for a single value."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.drafting.column_forms import (
    NumberForm,
    TimeForm,
    find_number_form,
    find_time_form,
    is_day,
    is_time_of_day,
)
from connectors.files.looks import guess_delimiter, guess_encoding
from connectors.number_text import build_number_parser
from connectors.values import as_time
from contract.errors import InvalidEventError

START = datetime(2026, 6, 25, 8, 12, 5, tzinfo=UTC)
WRITTEN = [
    "iso", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S", "%d/%m/%y %H:%M", "%Y%m%d", "%b %d, %Y", "%d-%b-%Y %H:%M",
    "%Y-%m-%d %H:%M:%S %Z", "%d/%b/%Y:%H:%M:%S %z", "%Y.%m.%d %H.%M", "%d.%m.%Y, %H:%M", "%a, %d %b %Y %H:%M:%S %z",
    "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%d%m%Y", "%m%d%y", "%y-%m-%d %H:%M", "%d-%m-%Y", "%a %b %d %H:%M:%S %Z %Y",
    "%Y-%m-%d-%H.%M.%S.%f", "%d%b%Y:%H:%M:%S", "%m/%d/%Y, %I:%M:%S\u202f%p", "%Y-%m-%d  %H:%M:%S", "%A, %d %B %Y %H:%M",
    "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)", "%d/%m/%Y %Hh%M", "%d.%m.%Y %H:%M Uhr",
]  # fmt: skip


def column(form: str) -> list[object]:
    times = [START + timedelta(hours=7 * n) for n in range(60)]
    return [time.isoformat() if form == "iso" else time.strftime(form) for time in times]


@pytest.mark.parametrize("form", WRITTEN)
def test_the_format_that_a_column_is_written_in_is_found(form: str) -> None:
    values = column(form)
    found = find_time_form([None, *values, ""])
    assert found is not None
    assert (len(found.formats), found.swappable) == (1, False)
    read = [as_time("t", value, UTC, found.formats[0]) for value in values]
    assert read == [as_time("t", value, UTC, form) for value in values]


@pytest.mark.parametrize(
    ("unit", "per_s"), [("epoch_s", 1), ("epoch_ms", 10**3), ("epoch_us", 10**6), ("epoch_ns", 10**9)]
)
def test_seconds_since_1970_are_told_by_their_size(unit: str, per_s: int) -> None:
    counted = [int(START.timestamp()) * per_s + n for n in range(9)]
    assert find_time_form(counted) == find_time_form(list(map(str, counted))) == TimeForm((unit,), swappable=False)
    assert as_time("t", counted[0], UTC, unit) == START


def test_day_and_month_that_could_be_swapped_are_doubted_and_the_shorter_span_is_taken() -> None:
    values = ["07/01/2026 08:12", "07/02/2026 09:00", "07/03/2026 09:00"]
    assert find_time_form(values) == TimeForm(("%m/%d/%Y %H:%M",), swappable=True)
    assert find_time_form(["01/07/2026 08:12", "02/07/2026 09:00"]) == TimeForm(("%d/%m/%Y %H:%M",), swappable=True)
    assert find_time_form([*values, "07/13/2026 09:00"]) == TimeForm(("%m/%d/%Y %H:%M",), swappable=False)


def test_two_formats_in_one_column_are_both_found() -> None:
    mixed = ["13-06-2026 08:12", "05/06/2026 09:00", "28-06-2026 09:00"]
    assert find_time_form(mixed) == TimeForm(("%d-%m-%Y %H:%M", "%d/%m/%Y %H:%M"), swappable=True)


@pytest.mark.parametrize(
    ("text", "form", "utc"),
    [
        ("2026-12-01 08:12 CET", "%Y-%m-%d %H:%M %Z", "2026-12-01T07:12"),
        ("07/01/2026 08:12 PM EDT", "%m/%d/%Y %I:%M %p %Z", "2026-07-02T00:12"),
        ("Wed Jul 01 08:12:00 PST 2026", "%a %b %d %H:%M:%S %Z %Y", "2026-07-01T16:12"),
        ("2026-07-01 08:12 Europe/Berlin", "%Y-%m-%d %H:%M %Z", "2026-07-01T06:12"),
        ("2026-07-01 08:12 UTC", "%Y-%m-%d %H:%M %Z", "2026-07-01T08:12"),
        ("2026-07-01T08:12+02:00[Europe/Berlin]", "iso", "2026-07-01T06:12"),
        ("2026-12-01T08:12[Europe/Berlin]", "iso", "2026-12-01T07:12"),
    ],
)
def test_a_zone_that_a_time_names_counts_whatever_zone_the_others_are_in(text: str, form: str, utc: str) -> None:
    assert as_time("t", text, ZoneInfo("Asia/Tokyo"), form) == datetime.fromisoformat(f"{utc}+00:00")


def test_halves_of_the_day_may_have_points() -> None:
    for half in ("p.m.", "P.M.", "p. m.", "PM"):
        assert as_time("t", f"07/01/2026 08:12 {half}", UTC, "%m/%d/%Y %I:%M %p") == datetime(
            2026, 7, 1, 20, 12, tzinfo=UTC
        )


@pytest.mark.parametrize("name", ["CST", "IST", "BST", "XYZ", "Mars/Base", ""])
def test_a_zone_of_several_meanings_or_none_is_refused_and_not_taken_for_another(name: str) -> None:
    assert find_time_form([f"2026-07-01 08:12 {name or 'in the morning'}"]) is None
    with pytest.raises(InvalidEventError, match="not a time of format"):
        as_time("t", f"2026-07-01 08:12 {name}", UTC, "%Y-%m-%d %H:%M %Z")


def test_a_date_of_digits_is_read_as_a_number_too_and_only_by_its_whole_width() -> None:
    july = datetime(2026, 7, 1, tzinfo=UTC)
    for value in (20260701, 20260701.0, "20260701", "20260701.0"):
        assert as_time("t", value, UTC, "%Y%m%d") == july
    assert as_time("t", 20260701081205, UTC, "%Y%m%d%H%M%S") == july + timedelta(hours=8, minutes=12, seconds=5)
    assert as_time("t", 1072026, UTC, "%d%m%Y") == july  # a table of numbers drops the first zero
    for short in ("1072026", "2026701"):
        with pytest.raises(InvalidEventError, match="not a time"):
            as_time("t", short, UTC, "%d%m%Y")
    with pytest.raises(InvalidEventError, match="a number needs"):
        as_time("t", 20260701, UTC, "iso")


@pytest.mark.parametrize("values", [[], [None, ""], ["soon"], ["1", "2"], [0.5], ["2026-13-45"], ["07:30"]])
def test_what_is_no_time_fits_nothing(values: list[object]) -> None:
    assert find_time_form(values) is None


@pytest.mark.parametrize(
    ("values", "decimal", "thousands"),
    [
        (["30,78", "1.000,50"], ",", "."),
        (["$1,231.20", "$426.00"], ".", ","),
        (["€ 12,50", "12,00-", "3"], ",", None),
        (["1'234.50", "(12.00)"], ".", "'"),
        (["1\u202f234,50"], ",", " "),
        (["1,23,456.00", "US$ 5.00"], ".", ","),
        (["12", "13.5", "1e3"], None, None),
        ([1.5, None, 3], None, None),
    ],
)
def test_the_signs_that_read_every_number_are_found(
    values: list[object], decimal: str | None, thousands: str | None
) -> None:
    assert find_number_form(values) == NumberForm(decimal, thousands, ambiguous=False)


def test_numbers_that_read_both_ways_are_doubted() -> None:
    assert find_number_form(["1,234", "5,678", "12"]) == NumberForm(".", ",", ambiguous=True)
    assert find_number_form(["1.234", "12"]) == NumberForm(None, None, ambiguous=True)
    assert find_number_form(["1.234", "1.5"]) == NumberForm(None, None, ambiguous=False)
    assert find_number_form(["x", "12"]) is find_number_form([]) is None


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "value"),
    [
        ("1.234,56", ",", ".", "1234.56"),
        ("1,234.56", ".", ",", "1234.56"),
        ("€ 12,50", ",", ".", "12.50"),
        ("12,50 €", ",", None, "12.50"),
        ("$1,299.00", ".", ",", "1299.00"),
        ("(12.00)", ".", None, "-12.00"),
        ("12.00-", ".", None, "-12.00"),
        ("12,-", ",", None, "12"),
        ("1.250,--", ",", ".", "1250"),
        ("-12,-", ",", None, "-12"),
        ("12,5-", ",", None, "-12.5"),
        ("12,50,-", ",", None, None),
        ("-$5.00", ".", None, "-5.00"),
        ("$-5.00", ".", None, "-5.00"),
        ("+5", ".", None, "5"),
        ("CHF 1’234.50", ".", "'", "1234.50"),  # noqa: RUF001 - as Swiss programs write it
        (",50", ",", None, "0.50"),
        ("1.234", ",", ".", "1234"),
        ("123.456.789.012.345.678.901.234.567.890,12", ",", ".", "123456789012345678901234567890.12"),
        ("0.1234567890123456789012345678901", ".", None, "0.1234567890123456789012345678901"),
        ("1.5", ",", ".", None),
        ("12,345,6", ".", ",", None),
        ("1,2", ".", ",", None),
        ("(5.00", ".", None, None),
        ("-5.00-", ".", None, None),
        ("", ".", None, None),
        ("EUR", ".", None, None),
        ("1e5", ".", None, None),
        ("٣", ".", None, "3"),
    ],
)
def test_money_is_read_by_the_signs_given_and_by_no_others(
    text: str, decimal: str, thousands: str | None, value: str | None
) -> None:
    assert build_number_parser(decimal, thousands)(text) == (None if value is None else Decimal(value))


@given(st.decimals(0, 10**9, places=2), st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'")]))
def test_what_is_written_by_two_signs_is_read_by_them(amount: Decimal, signs: tuple[str, str]) -> None:
    decimal, thousands = signs
    written = f"{amount:,.2f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    assert build_number_parser(decimal, thousands)(written) == amount


def test_days_and_times_of_day_are_told_apart() -> None:
    assert [is_day(text) for text in ("2026-07-01", "1.7.2026", "Jul 1, 2026", "08:12", "2026-07-01 08:12", "7")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert [is_time_of_day(text) for text in ("08:12", "8:12:30", "8:12 PM", "812", "2026-07-01")] == [
        True, True, True, False, False,
    ]  # fmt: skip


TEXT = "id,name\n1,Käse für 5 €\n"


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"), ("utf-32", "utf-32"), ("cp1252", "cp1252")],
)  # fmt: skip
def test_the_encoding_that_fits_all_bytes_is_found(encoding: str, found: str) -> None:
    assert guess_encoding((TEXT * 50).encode(encoding)) == found
    assert guess_encoding(b"\x81" + TEXT.encode("cp1252")) == "latin-1"
    assert guess_encoding("é".encode()[:1]) == "utf-8", "the look may end inside a character"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_that_gives_every_line_as_many_cells_is_found(delimiter: str) -> None:
    lines = [
        delimiter.join(cells) + "\n" for cells in (["id", "amount", "note"], ["1", "3.5", '"a,b;c"'], ["2", "4", "x"])
    ]
    assert guess_delimiter(lines) == delimiter


def test_a_decimal_comma_is_no_delimiter_and_one_column_has_none() -> None:
    assert guess_delimiter(["id;amount\n", "1;3,5\n", "2;4,5\n"]) == ";"
    assert guess_delimiter(["id\n", "1,5\n"]) is None
