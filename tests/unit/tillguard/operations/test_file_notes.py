"""What a check says of a file whose rows are read, and would be read better by other settings."""

from datetime import timedelta
from typing import Any

import pytest

from connectors.config.connector_file import parse
from connectors.mapping.mapper import Mapper
from connectors.ports import Row
from support.connector_parts import NOW, admission, tokens
from tillguard.operations.file_notes import FEW, describe_file

TEXT = """\
name: orders
source: {kind: file, path: orders.csv}
transactions:
  fields:
    transaction_id: id
    event_time: at
    amount: total
    currency: currency
labels:
  - column: is_fraud
    fields: {label_time: told}
"""


def notes(rows: list[dict[str, Any]], text: str = TEXT, delay_days: float = 30.0) -> list[str]:
    config = parse(text, "orders.yaml")
    mapper = Mapper(config, admission(), tokens(), untimed_label=timedelta(days=delay_days))
    read = [Row("", "insert", row, f"orders.csv:{number}", "snapshot") for number, row in enumerate(rows)]
    return describe_file(config, read, [mapper.map_row(row, NOW) for row in read], delay_days)


def sale(number: int, **changes: Any) -> dict[str, Any]:
    day = number % 28 + 1
    return {
        "id": str(number), "at": f"2026-04-{day:02} 10:{number % 60:02}", "total": f"{number}.50", "currency": "EUR", "is_fraud": None, "told": None,
    } | changes  # fmt: skip


def sales(count: int = 20, /, **changes: Any) -> list[dict[str, Any]]:
    return [
        sale(number, **{name: held(number) if callable(held) else held for name, held in changes.items()})
        for number in range(count)
    ]


def labelled(number: int) -> str:
    return "1" if number % 10 == 0 else "0"


def test_a_file_that_fits_needs_no_word() -> None:
    assert notes(sales(is_fraud=labelled, told="2026-04-30 10:00")) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"currency": lambda number: "\udce9" if number == 3 else "EUR"}, "`encoding: cp1252` in `source` would fit"),
        ({"currency": lambda number: "NULL" if number < 3 else "EUR"}, "3 cells hold NULL, which counts as a value"),
        (
            {"at": lambda number: f"{number + 1}.4.2026 10:00"},
            "event_time: `format: '%d.%m.%Y %H:%M'` would fit all 20 rows",
        ),
        ({"at": lambda number: f"week {number}"}, "event_time: no usual format fits all 20 rows"),
        ({"at": lambda number: f"0{number % 9 + 1}/04/2026 10:00"}, "day and month may be the other way round"),
        (
            {"total": lambda number: f"1.{number:03},50"},
            "amount: `decimal: ',', thousands: .` in `source` would fit all 20 rows",
        ),
        ({"total": lambda number: f"about {number}"}, "amount: no usual form of number fits all 20 rows"),
        ({"total": lambda number: f"{number * 7 + 1999}"}, "amount: all amounts that were looked at are whole numbers"),
        ({"total": lambda number: f"{number + 1}.234"}, "is 1.234 a thousand or a little more than one?"),
        ({"id": lambda number: str(number % 5)}, "transaction_id: 15 of 20 rows repeat the id of another"),
        ({"at": "2026-04-01 10:00"}, "event_time: all 20 rows that were looked at have the same"),
    ],
)
def test_what_would_fit_better_is_said(changes: dict[str, Any], words: str) -> None:
    usual: dict[str, Any] = {"is_fraud": labelled, "told": "2026-04-30 10:00"}
    told = notes(sales(**(usual | changes)))
    assert any(words in note for note in told), told


def test_days_and_months_that_may_be_swapped_are_told_where_the_format_is_set_already() -> None:
    text = TEXT.replace("event_time: at", "event_time: {column: at, format: '%d/%m/%Y %H:%M'}")
    swappable = {
        "at": lambda number: f"0{number % 9 + 1}/04/2026 10:00",
        "is_fraud": labelled,
        "told": "2026-11-30 10:00",
    }
    assert any("the other way round" in note for note in notes(sales(**swappable), text))
    sure = swappable | {"at": lambda number: f"{number + 1:02}/04/2026 10:00"}
    assert not any("the other way round" in note for note in notes(sales(**sure), text))


def test_a_form_without_words_for_nothing_is_not_searched_for_them() -> None:
    lines = TEXT.replace("orders.csv", "orders.jsonl")
    assert not any(
        "NULL" in note for note in notes(sales(currency=lambda number: "NULL" if number < 3 else "EUR"), lines)
    )


def test_an_amount_whose_sign_is_of_another_currency_is_told() -> None:
    text = TEXT.replace("path: orders.csv}", "path: orders.csv, decimal: '.'}")
    rows = sales(
        total=lambda number: f"£{number}.50" if number < 3 else f"{number}.50",
        is_fraud=labelled,
        told="2026-04-30 10:00",
    )
    (told,) = notes(rows, text)
    assert told.startswith("currency: 3 of 20 amounts show the sign of another currency")
    assert "GBP by its sign, EUR by the mapping" in told


def test_labels_without_a_time_count_so_long_after_their_transaction() -> None:
    untimed = TEXT.replace("    fields: {label_time: told}\n", "")
    (told,) = notes(sales(is_fraud=labelled), untimed, 21.0)
    assert "each counts as known 21 days after its transaction" in told


def test_labels_at_their_purchase_make_a_model_look_better_than_it_is() -> None:
    (told,) = notes([row | {"told": row["at"]} for row in sales(is_fraud=labelled)])
    assert told.startswith("20 of 20 labels are dated at their purchase or before it")


@pytest.mark.parametrize(
    ("count", "is_fraud", "words"),
    [
        (20, None, "labels: none of the 20 rows that were looked at says fraud or genuine"),
        (
            20,
            lambda number: "0" if number == 1 else "1",
            "labels: 19 of 20 are frauds: is what the column holds the other way round?",
        ),
        (FEW, "0", f"labels: none of the {FEW} that were looked at is a fraud"),
    ],
)
def test_labels_that_mean_the_opposite_or_nothing_are_doubted(count: int, is_fraud: Any, words: str) -> None:
    told = notes(sales(count, is_fraud=is_fraud, told="2026-04-30 10:00"))
    assert any(words in note for note in told), told


def test_among_few_rows_it_is_no_wonder_that_none_is_a_fraud_and_half_of_them_may_be() -> None:
    assert notes(sales(FEW - 1, is_fraud="0", told="2026-04-30 10:00")) == []
    assert notes(sales(20, is_fraud=lambda number: str(number % 2), told="2026-04-30 10:00")) == []


def test_a_column_of_labels_that_cannot_be_read_is_a_fault_and_needs_no_doubt() -> None:
    assert notes(sales(is_fraud="maybe", told="2026-04-30 10:00")) == []
