"""A connector file: every fault is found, with its line and what to do."""

import pytest

from connectors.config.connector_file import build_schema, list_fields, parse
from contract.errors import ConfigurationError
from support.connector_parts import MYSQL_TEXT, config

LINES = MYSQL_TEXT.splitlines()


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        parse(text, "orders.yaml")
    return refused.value.faults


def line_of(part: str) -> int:
    return next(number for number, line in enumerate(LINES, start=1) if part in line)


def test_a_good_file_is_read() -> None:
    good = config()
    assert [table.name for table in good.list_tables()] == ["orders"]
    assert good.get_key_column(good.transactions) == "id"
    assert good.has_tokens()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("total\n", "total\n    amuont: x\n", "no such setting here"),
        ("Europe/Berlin", "Mars/Olympus", "not a zone"),
        ("card_number, tokenise: true", "card_number", "personal data"),
        ("{column: card_number, tokenise: true}", "card_number", "personal data"),
        ("total\n", "{column: total, unit: pennies}\n", "'major' or 'minor'"),
        ("currency: currency", "currency: {column: a, constant: EUR}", "exactly one of"),
        ("transaction_id: id", "transaction_id: {column: id, tokenise: true}", "cannot be tokenised"),
        ("  table: orders", "  collection: orders", "write `table`"),
        ("  - column: is_fraud", "  - fields: {kind: x}", "say what is fraud"),
        ("  - column: is_fraud", "  - {table: chargebacks, column: x}", "transaction_id is missing"),
        ("kind: mysql", "kind: oracle", "does not match any of the expected tags"),
        ("password: not-a-secret", "password: a, password_env: B", "not both"),
        ("transaction_id: id", "transaction_id: {constant: a}", "cannot name transactions"),
        ("database: shop", "database: shop, heartbeat_s: 11", "at least three times heartbeat_s"),
        ("  table: orders", "  table: orders\n  collection: orders", "give table or collection, not both"),
        ("  table: orders", "  updates: ignore", "`table` is missing"),
        ("  - column: is_fraud", "  - {column: is_fraud, fields: {transaction_id: id}}", "has its id already"),
        (
            "  - column: is_fraud",
            "  - {table: b, column: x, fields: {transaction_id: id, label_time: {after_days: 3}}}",
            "after_days",
        ),
    ],
)
def test_a_fault_names_its_line_and_the_remedy(old: str, new: str, message: str) -> None:
    assert old in MYSQL_TEXT
    found = faults(MYSQL_TEXT.replace(old, new, 1))
    where = line_of(old.strip().splitlines()[0].strip())
    assert any(message in fault for fault in found), found
    line = int(found[0].split(":")[1])
    assert abs(line - where) <= 1, (found, where)


def test_all_faults_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        MYSQL_TEXT.replace("Europe/Berlin", "Nowhere").replace("total", "{unit: major}").replace(", tokenise: true", "")
    )
    found = faults(text)
    lines = [int(fault.split(":")[1]) for fault in found]
    assert len(found) == 4
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("constant", "remedy"),
    [("2026-11-30", "write it in quotes"), ("2026-11-30T10:00:00Z", "write it in quotes"), ("[1, 2]", "one value")],
)
def test_a_constant_that_is_no_plain_value_is_one_fault(constant: str, remedy: str) -> None:
    (fault,) = faults(MYSQL_TEXT.replace("column: placed_at", f"constant: {constant}"))
    assert "event_time.constant: " in fault
    assert remedy in fault


def test_no_fault_repeats_a_value() -> None:
    assert "not-a-secret" not in " ".join(faults(MYSQL_TEXT.replace("host: db.example", "host: 7, port: not-a-port")))


def test_a_key_named_twice_is_a_fault() -> None:
    assert "named twice" in faults(MYSQL_TEXT + "name: again\n")[0]


@pytest.mark.parametrize(
    "text", ["", "just words", "- a\n- b", "a: [", "a: !!python/object:os.system x", "\x00", "{[]: 1}"]
)
def test_what_is_no_connector_file_is_refused_and_never_crashes(text: str) -> None:
    assert faults(text)


def test_the_fingerprint_follows_the_mapping_and_not_the_connection() -> None:
    assert (
        config().compute_fingerprint()
        == config(MYSQL_TEXT.replace("db.example", "other.example")).compute_fingerprint()
    )
    assert (
        config().compute_fingerprint()
        != config(MYSQL_TEXT.replace("unit", "unit").replace("total", "sum")).compute_fingerprint()
    )


def test_a_password_is_taken_from_the_environment() -> None:
    server = config(MYSQL_TEXT.replace("password: not-a-secret", "password_env: SHOP_PASSWORD")).source
    assert server.kind == "mysql"
    assert server.read_secret({"SHOP_PASSWORD": "x"}) == "x"
    with pytest.raises(ConfigurationError, match="SHOP_PASSWORD is not set"):
        server.read_secret({})


FILE_TEXT = """\
name: past
source: {kind: file, path: past.csv}
transactions:
  fields: {transaction_id: _row, event_time: at, amount: total, currency: {constant: EUR}}
"""
MONGODB_TEXT = FILE_TEXT.replace("kind: file, path: past.csv", "kind: mongodb, database: shop").replace(
    "transactions:", "transactions:\n  collection: orders"
)


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (FILE_TEXT, "transactions:", "transactions:\n  table: orders", "a file has no tables"),
        (FILE_TEXT, "past.csv", "past.csv, encoding: klingon", "not an encoding"),
        (FILE_TEXT, "past.csv", "past.csv, encoding: hex", "not an encoding"),
        (FILE_TEXT, "past.csv", "past.csv, encoding: 7", "valid string"),
        (FILE_TEXT, "past.csv", "past.csv, thousands: '.'", "cannot be the same sign"),
        (FILE_TEXT, "past.csv", "past.csv, thousands: ',', decimal: ','", "cannot be the same sign"),
        (MONGODB_TEXT, "collection: orders", "table: orders", "write `collection`"),
        (FILE_TEXT, "amount: total, ", "", "fields.amount: is missing"),
        (FILE_TEXT, "transactions:", "transactions:\n  snapshot_order: event_time", None),
        (
            FILE_TEXT.replace("time: at", "time: {columns: [day, time], format: '%d.%m.%Y %H:%M'}"),
            "transactions:",
            "transactions:\n  snapshot_order: event_time",
            "event_time is not one column",
        ),
    ],
)
def test_what_one_kind_of_source_has_another_may_lack(text: str, old: str, new: str, message: str | None) -> None:
    parse(text, "orders.yaml")
    if message is None:
        parse(text.replace(old, new, 1), "orders.yaml")
    else:
        assert any(message in fault for fault in faults(text.replace(old, new, 1)))


def test_a_file_has_no_resolutions() -> None:
    resolutions = "resolutions:\n  - fields: {transaction_id: id, outcome: result, actor: who}\n"
    assert "a file cannot carry resolutions" in faults(FILE_TEXT + resolutions)[0]


def test_without_a_key_a_row_is_named_by_its_id() -> None:
    told = config(
        MYSQL_TEXT.replace("  key: id\n", "").replace(
            "  - column:", "  - table: reviews\n    fields: {transaction_id: order_id}\n    column:"
        )
    )
    assert (told.get_key_column(told.transactions), told.get_key_column(told.labels[0])) == ("id", "id")
    documents = config(MONGODB_TEXT)
    assert documents.get_key_column(documents.transactions) == "_id"


def test_every_field_is_listed_with_its_section_and_its_meaning() -> None:
    listed = list_fields()
    assert {section for section, _, _ in listed} == {"transactions.fields", "labels[].fields", "resolutions[].fields"}
    assert all(meaning for _, _, meaning in listed)
    assert ("transactions.fields", "amount") in {(section, name) for section, name, _ in listed}


def test_editors_get_a_schema_of_the_whole_file() -> None:
    assert set(build_schema()["required"]) == {"name", "source", "transactions"}
