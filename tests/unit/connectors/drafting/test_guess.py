"""What `connector new` makes of the columns of files as people have them."""

from datetime import datetime, timedelta

import pytest

from connectors.config.connector_file import parse
from connectors.drafting.first_file import render
from connectors.drafting.guess import Guess, guess, normalise_name

ROWS = 40


def at(number: int) -> datetime:
    return datetime(2024, 3, 1, 8, 5) + timedelta(hours=9 * number)  # noqa: DTZ001 - files carry no zone


def table(header: str, *columns: object) -> list[dict[str, object]]:
    """Rows of text; a column is a value, or a function of the row's number."""
    names = header.split(",")
    return [
        {name: str(value(n) if callable(value) else value) for name, value in zip(names, columns, strict=True)}
        for n in range(ROWS)
    ]


def fraud(number: int) -> int:
    return int(number % 10 == 3)


SHAPES = {
    "payments of a bank, seconds from a start": table(
        "TransactionID,isFraud,TransactionDT,TransactionAmt,ProductCD,card1,P_emaildomain,D1",
        lambda n: 3_000 + n, fraud, lambda n: 86_400 + n, lambda n: n + 0.5, "W", 1234, "mail.example", "",
    ),
    "mobile money, hours from a start": table(
        "step,type,amount,nameOrig,oldbalanceOrg,nameDest,isFraud,isFlaggedFraud",
        lambda n: n // 3, "TRANSFER", lambda n: n + 0.5, lambda n: f"C{n}", 0.0, "M1", fraud, 0,
    ),
    "simulated cards with a column of numbers": table(
        ",trans_date_trans_time,cc_num,merchant,category,amt,city_pop,dob,trans_num,unix_time,is_fraud",
        lambda n: n, at, 4111111111111111, "shop", "food", lambda n: n + 0.5, 3000, "1988-03-09",
        lambda n: f"{n:032x}", lambda n: int(at(n).timestamp()), fraud,
    ),
    "a bank with quotes inside": table(
        "step,customer,age,merchant,category,amount,fraud", lambda n: n // 3, lambda n: f"'C{n}'", "'4'", "'M1'", "'es_food'",
        lambda n: n + 0.5, fraud,
    ),
    "invoices": table(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        lambda n: 500 + n // 4, "A", "HOLDER", 6, lambda n: at(n).strftime("%m/%d/%Y %H:%M"), 2.55, "17850.0", "France",
    ),
    "a handbook": table(
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_FRAUD,TX_FRAUD_SCENARIO",
        lambda n: n, at, 5, 6, lambda n: n + 0.5, lambda n: n, fraud, 0,
    ),
    "a web shop": table(
        "Transaction ID,Customer ID,Transaction Amount,Transaction Date,Payment Method,Customer Age,IP Address,Is Fraudulent",
        lambda n: f"t{n}", "c", lambda n: n + 0.5, at, "PayPal", 40, "192.0.2.1", fraud,
    ),
    "a table with its index and gaps in the labels": table(
        "Unnamed: 0,id,created,total,user_id,label", lambda n: n, lambda n: f"o{n}", at, lambda n: n + 0.5, "u",
        lambda n: ["0.0", "1.0", ""][n % 3],
    ),
    "a total that names its currency": table(
        "order_no,placed_at,total_eur,is_fraud", lambda n: f"O{n}", at, lambda n: n + 0.5, lambda n: n % 2
    ),
}  # fmt: skip
FOUND = {
    "payments of a bank, seconds from a start": ("TransactionID", "TransactionDT", "TransactionAmt", "isFraud"),
    "mobile money, hours from a start": (None, "step", "amount", "isFraud"),
    "simulated cards with a column of numbers": ("trans_num", "trans_date_trans_time", "amt", "is_fraud"),
    "a bank with quotes inside": (None, "step", "amount", "fraud"),
    "invoices": ("InvoiceNo", "InvoiceDate", "UnitPrice", None),
    "a handbook": ("TRANSACTION_ID", "TX_DATETIME", "TX_AMOUNT", "TX_FRAUD"),
    "a web shop": ("Transaction ID", "Transaction Date", "Transaction Amount", "Is Fraudulent"),
    "a table with its index and gaps in the labels": ("id", "created", "total", "label"),
    "a total that names its currency": ("order_no", "placed_at", "total_eur", "is_fraud"),
}


def made(shape: str) -> Guess:
    rows = SHAPES[shape]
    return guess(list(rows[0]), None, rows)


def written(found: Guess, **source: object) -> str:
    return render("sales", {"kind": "file", "path": "sales.csv", **source}, None, None, found, label_after_days=7)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_columns_that_matter_are_found(shape: str) -> None:
    found = made(shape)
    fields = [found.fields.get(name) for name in ("transaction_id", "event_time", "amount")]
    assert (*fields, found.fraud) == FOUND[shape]


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_first_file_is_in_order_and_says_when_labels_are_known(shape: str) -> None:
    text = written(made(shape))
    draft = parse(text, "draft.yaml")
    assert "CHANGE_ME" not in text
    if made(shape).fraud is None:
        assert "table:" not in text
    else:
        (labels,) = draft.labels
        assert labels.fields.label_time is not None
        assert labels.fields.label_time.after_days == 7


def test_doubts_stand_beside_the_lines() -> None:
    assert "transaction_id: _row" in written(made("mobile money, hours from a start"))
    assert "# no usual format of time fits" in written(made("mobile money, hours from a start"))
    assert "# not unique among the rows looked at" in written(made("invoices"))
    swappable = [{"id": n, "placed": f"0{n}/02/2026 10:00", "total": "1,234"} for n in range(1, 10)]
    text = written(guess(["id", "placed", "total"], None, swappable))
    assert "# day and month may be the other way round" in text
    assert "# is 1.234 a thousand or a little more than one?" in text


def test_a_day_and_a_time_of_day_make_an_event_time() -> None:
    rows = [
        {"nr": n, "Datum": f"{n}.06.2026", "Uhrzeit": "08:12", "Betrag": "3,50", "Betrug": "ja"} for n in range(1, 29)
    ]
    found = guess(list(rows[0]), None, rows)
    assert found.day_and_time == ("Datum", "Uhrzeit")
    text = written(found)
    spec = parse(text, "draft.yaml").transactions.fields.event_time
    assert (spec.columns, spec.format) == (["Datum", "Uhrzeit"], ["%d.%m.%Y %H:%M"])


def test_labels_in_words_and_numbers_of_their_own_are_translated() -> None:
    rows = [{"id": n, "class": word} for n, word in enumerate(["legit", "Fraud", "2", "unknown", "1.0", "nein"])]
    found = guess(["id", "class"], None, rows)
    assert found.fraud_values == {
        "1": True, "2": None, "Fraud": True, "legit": False, "nein": False, "unknown": None,
    }  # fmt: skip
    spec = parse(written(found).replace("CHANGE_ME", "x"), "draft.yaml").labels[0].fields.fraud
    assert spec is not None
    assert spec.values == {1: True, 2: None, "Fraud": True, "legit": False, "nein": False, "unknown": None}


def test_a_column_of_many_values_is_no_label() -> None:
    rows = [{"label": f"parcel {n}", "is_fraud": 0} for n in range(ROWS)]
    assert guess(["label", "is_fraud"], None, rows).fraud == "is_fraud"


@pytest.mark.parametrize(
    ("name", "words"),
    [("TransactionDT", "transaction_dt"), ("isFraud", "is_fraud"), ("Trans Date-Time", "trans_date_time"), ("TX_ID", "tx_id"), ("IPAddress", "ip_address")],
)  # fmt: skip
def test_names_are_compared_by_their_words(name: str, words: str) -> None:
    assert normalise_name(name) == words


@pytest.mark.parametrize(
    ("amounts", "line"),
    [
        (["1999", "2495"] * 20, "where they are cents, say `unit: minor`\n    amount: {column: total, unit: major}"),
        (["€ 1,50", "2,50 €"], "currency: {constant: EUR}          # as the amounts say"),
        (["$ 1.50", "$ 2.50"], "currency: {constant: USD}          # by the sign in the amounts; or is it "),
        (["€ 1.50", "$ 2.50"], "# the amounts are of several currencies: put the codes into a column of their own"),
        (["1.50", "2.50"], "currency: {constant: EUR}          # or the column that says it"),
    ],
)
def test_what_the_amounts_themselves_say_is_written_down(amounts: list[str], line: str) -> None:
    rows = [{"id": n, "total": held} for n, held in enumerate(amounts)]
    text = written(guess(["id", "total"], None, rows))
    assert line in text
    assert ("currency: CHANGE_ME" in text) == ("several currencies" in line)


def test_signs_in_the_column_of_currencies_become_codes() -> None:
    rows = [{"id": n, "total": n, "currency": sign} for n, sign in enumerate(["€", "£", "€"])]
    found = guess(["id", "total", "currency"], None, rows)
    spec = parse(written(found).replace("CHANGE_ME", "x"), "draft.yaml").transactions.fields.currency
    assert spec.values == {"€": "EUR", "£": "GBP"}


def test_a_key_names_transactions_where_no_column_looks_so() -> None:
    found = guess(["rowguid", "placed", "total"], "rowguid")
    assert found.fields["transaction_id"] == "rowguid"
    assert "rowguid" not in found.unused
