"""One field of a connector file as a function of a row: what it reads, what it refuses, what `optional` leaves out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.config.fields import MoneyField, NumberField, TextField, TimeField
from connectors.mapping import readers
from connectors.number_text import build_number_parser
from connectors.values import UNTOLD, UntoldError, as_integer
from contract.errors import ConfigurationError, InvalidEventError
from support.connector_parts import naive

NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def raw(row: dict[str, object], /, *, flat: bool = True, **spec: Any) -> object:
    return readers.build_raw_reader("category", TextField(**spec), flat=flat)(row)


def test_a_constant_needs_no_column() -> None:
    assert raw({}, constant="web") == "web"


def test_a_default_stands_where_the_row_has_no_value_and_nowhere_else() -> None:
    assert raw({"c": None}, column="c", default="web") == "web"
    assert raw({"c": "app"}, column="c", default="web") == "app"
    assert raw({}, column="c", default="web", flat=False) == "web"


def test_a_column_that_a_table_no_longer_has_is_a_changed_schema() -> None:
    for name in ("c", "c.inner"):
        with pytest.raises(InvalidEventError, match=f"the row has no column {name}") as error:
            raw({"d": 1}, column=name)
        assert error.value.reason == "schema_changed"
    assert raw({"c": {}}, column="c.inner") is None, "the column is there"
    assert raw({"d": 1}, column="c", optional=True) is None
    assert raw({"d": 1}, column="c", flat=False) is None


@pytest.mark.parametrize(
    ("held", "meaning"),
    [
        ("W", "web"),
        ("w", "small"),
        (" W ", "web"),
        ("SHOP", "shop"),
        ("1.0", "app"),
        (1, "app"),
        (None, None),
        (" ", None),
    ],
)
def test_values_are_translated_whatever_their_case_or_the_zeros_behind_them(held: object, meaning: str | None) -> None:
    table = {"W": "web", "w": "small", "shop": "shop", "1": "app"}
    assert raw({"c": held}, column="c", values=table) == meaning


@pytest.mark.parametrize(
    ("held", "meaning"), [(True, "set"), ("YES", "set"), ("on", "set"), (False, "unset"), ("Off", "unset")]
)
def test_what_yaml_reads_as_true_or_false_means_the_words_for_it(held: object, meaning: str) -> None:
    assert raw({"c": held}, column="c", values={True: "set", False: "unset"}) == meaning


def test_a_value_that_is_not_listed_takes_the_default_or_is_refused() -> None:
    assert raw({"c": "X"}, column="c", values={"W": "web"}, default="other") == "other"
    with pytest.raises(InvalidEventError, match="does not list"):
        raw({"c": "X"}, column="c", values={"W": "web"})


def text(values: dict[str, object], field: str = "category", **spec: Any) -> str | None:
    return readers.build_text_reader(field, TextField(**spec), flat=True)(values)


def test_several_columns_are_joined_and_empty_ones_left_out() -> None:
    row: dict[str, object] = {"a": "Main St", "b": None, "c": " 5 "}
    assert text(row, columns=["a", "b", "c"]) == "Main St 5"
    assert text({"a": None, "b": ""}, columns=["a", "b"]) is None


@pytest.mark.parametrize(
    ("field", "fits", "misfit"),
    [
        ("category", "x" * 64, "x" * 65),
        ("device", "x" * 128, "x" * 129),
        ("device", "a b", "a\nb"),
        ("device", "a", "a\x7f"),
    ],
)
def test_text_is_as_long_as_the_contract_takes_it(field: str, fits: str, misfit: str) -> None:
    assert text({"c": fits}, field, column="c") == fits
    with pytest.raises(InvalidEventError, match=field):
        text({"c": misfit}, field, column="c")
    assert text({"c": misfit}, field, column="c", optional=True) is None


def test_optional_leaves_out_no_value_that_the_log_did_not_tell() -> None:
    with pytest.raises(UntoldError):
        text({"c": UNTOLD}, column="c", optional=True)
    money = readers.build_money_reader("amount", MoneyField(column="c", optional=True), flat=True)
    time = readers.build_time_reader("event_time", TimeField(column="c", optional=True), flat=True)
    for read in (lambda: money({"c": UNTOLD}, "EUR"), lambda: time({"c": UNTOLD}, None)):
        with pytest.raises(UntoldError):
            read()


def test_codes_are_given_in_capitals() -> None:
    read = readers.build_code_reader("currency", TextField(column="c"), flat=True)
    assert (read({"c": "eur"}), read({"c": None})) == ("EUR", None)
    with pytest.raises(InvalidEventError, match="translate it by `values`"):
        read({"c": "euro"})
    country = readers.build_code_reader("country_ip", TextField(column="c"), flat=True)
    assert country({"c": "de"}) == "DE"


def name(values: dict[str, object], **spec: Any) -> str | None:
    return readers.build_name_reader("transaction_id", TextField(**spec), flat=True)(values)


def test_a_name_is_exactly_what_stands_there() -> None:
    assert name({"c": " a  b "}, column="c") == " a  b "
    assert name({"c": None}, column="c") is None
    with pytest.raises(InvalidEventError, match="longer than 128"):
        name({"c": "x" * 129}, column="c")


def test_two_rows_never_have_one_name_of_several_columns() -> None:
    pairs = [("A B", "C"), ("A", "B C"), ("A\\", "B C"), ("A", "C"), ("A C", None), (None, "A C"), ("A\\ C", None)]
    names = [name({"a": first, "b": second}, columns=["a", "b"]) for first, second in pairs]
    assert len(set(names)) == len(pairs)
    assert names[0] == "A\\ B C"
    assert name({"a": None, "b": None}, columns=["a", "b"]) is None


def test_ids_of_bytes_are_written_in_their_notation_first() -> None:
    assert name({"c": b"\x01\xff"}, column="c", format="hex") == "01ff"
    assert text({"c": bytes(range(16))}, "device", column="c", format="uuid") == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def moment(values: dict[str, object], *, event_time: datetime | None = None, **spec: Any) -> datetime | None:
    return readers.build_time_reader("event_time", TimeField(**spec), flat=True)(values, event_time)


def test_a_day_and_a_time_of_day_are_joined_and_a_day_alone_is_no_moment() -> None:
    spec: dict[str, Any] = {"columns": ["day", "time"], "format": "%Y-%m-%d %H:%M:%S", "time_zone": "Europe/Berlin"}
    at_midnight = naive(2026, 9, 1, 0, 0, 0)
    for day in ("2026-09-01", at_midnight, at_midnight.date()):
        for time in ("14:00:00", timedelta(hours=14)):
            assert moment({"day": day, "time": time}, **spec) == NOON
    assert moment({"day": at_midnight, "time": None}, **spec) is None
    with pytest.raises(InvalidEventError):
        moment({"day": naive(2026, 9, 1, 3, 0, 0), "time": "14:00:00"}, **spec)
    with pytest.raises(InvalidEventError, match="has no column time"):
        moment({"day": at_midnight}, **spec)


def test_the_first_of_several_formats_that_fits_is_taken() -> None:
    spec: dict[str, Any] = {"column": "c", "format": ["%d.%m.%Y %H:%M", "iso", "epoch_s"]}
    for held in ("01.09.2026 12:00", "2026-09-01T12:00:00Z", "1788264000"):
        assert moment({"c": held}, **spec) == NOON
    assert moment({"c": None}, **spec) is None
    with pytest.raises(InvalidEventError, match="not a time of any format of `%d"):
        moment({"c": "noon"}, **spec)
    assert moment({"c": "noon"}, **spec, optional=True) is None


def test_days_may_be_counted_from_the_event() -> None:
    assert moment({"c": 1}, event_time=NOON, column="c", format="days_before_event") == NOON - timedelta(days=1)


COMMA = build_number_parser(",", ".")


def test_numbers_in_text_are_read_as_the_file_writes_them() -> None:
    read = readers.build_converting_reader(
        "basket_items", NumberField(column="c"), as_integer, flat=True, numbers=COMMA
    )
    assert [read({"c": held}) for held in ("1.234", 7, " ", None)] == [1_234, 7, None, None]
    with pytest.raises(InvalidEventError, match="not a number as `decimal` and `thousands`") as error:
        read({"c": "12 items"})
    assert error.value.reason == "field_invalid"
    plain = readers.build_converting_reader("basket_items", NumberField(column="c"), as_integer, flat=True)
    assert plain({"c": "7"}) == 7


def test_amounts_in_text_are_read_as_the_file_writes_them() -> None:
    read = readers.build_money_reader("amount", MoneyField(column="c"), flat=True, numbers=COMMA)
    assert [read({"c": held}, "EUR") for held in ("€ 1.234,50", 2, None)] == [123_450, 200, None]
    with pytest.raises(InvalidEventError) as error:
        read({"c": "free"}, "EUR")
    assert error.value.reason == "amount_invalid"
    minor = readers.build_money_reader("amount", MoneyField(column="c", unit="minor", optional=True), flat=True)
    assert (minor({"c": 250}, "EUR"), minor({"c": "x"}, "EUR")) == (250, None)


def test_what_must_become_a_token_is_never_read_without_a_key() -> None:
    with pytest.raises(ConfigurationError, match="field email is tokenised"):
        readers.build_token_reader("email", TextField(column="c", tokenise=True), None, flat=True)
