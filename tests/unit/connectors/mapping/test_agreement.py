"""Where a history's mapping and a live connector disagree."""

from connectors.config.connector_file import ConnectorConfig, parse
from connectors.mapping.agreement import find_disagreements

SOURCES = {
    "past": "{kind: file, path: past.csv}",
    "orders": "{kind: mysql, database: shop}",
}
FIELDS = """\
    transaction_id: id
    event_time: at
    amount: total
    currency: {constant: EUR}
"""


def config(name: str, more: str = "", fields: str = FIELDS) -> ConnectorConfig:
    table = "" if name == "past" else "  table: orders\n"
    return parse(f"name: {name}\nsource: {SOURCES[name]}\ntransactions:\n{table}  fields:\n{fields}{more}", name)


def test_files_that_say_the_same_raise_no_doubt_whatever_their_columns_are_called() -> None:
    assert find_disagreements(config("past"), config("orders")) == []
    assert find_disagreements(config("past", "    terminal: till\n"), config("orders", "    terminal: shop_no\n")) == []


def test_a_field_that_one_side_alone_reads_is_told() -> None:
    (said,) = find_disagreements(config("past"), config("orders", "    device: phone\n"))
    assert said == "device: orders reads it and the file's mapping does not, so the model learns nothing from it"
    (said,) = find_disagreements(config("past", "    device: phone\n"), config("orders"))
    assert said.endswith("orders does not, so serving never has what the model learned")


def test_tokens_on_one_side_alone_make_other_entities() -> None:
    (said,) = find_disagreements(
        config("past", "    customer: {column: who, tokenise: true}\n"), config("orders", "    customer: buyer\n")
    )
    assert said == "customer: the file's mapping has tokens (tokenise), orders otherwise"


def test_the_same_column_in_other_units_zones_or_words_is_told() -> None:
    fields = "    transaction_id: id\n    event_time: {column: at, time_zone: Europe/Berlin}\n"
    fields += "    amount: {column: total, unit: minor}\n    currency: {constant: EUR}\n"
    said = find_disagreements(
        config("past", "    channel: {column: way, values: {W: web}}\n", fields), config("orders", "    channel: way\n")
    )
    assert said == [
        "event_time: the file's mapping takes the same column in Europe/Berlin, orders otherwise",
        "amount: the file's mapping takes the same column in minor units, orders otherwise",
        "channel: the file's mapping translates the same column by other `values`, orders otherwise",
    ]


def test_a_field_of_other_columns_than_before_is_told() -> None:
    (said,) = find_disagreements(
        config("past", "    address: {columns: [street, city], tokenise: true}\n"),
        config("orders", "    address: {column: address, tokenise: true}\n"),
    )
    assert said == "address: the file's mapping joins 2 column(s), orders otherwise"
    (said,) = find_disagreements(
        config("past", "    address: {column: address, tokenise: true}\n"),
        config("orders", "    address: {columns: [street, city], tokenise: true}\n"),
    )
    assert said == "address: the file's mapping joins 1 column(s), orders otherwise"
