"""Small pure decisions: limits, schema, partitions, positions, health, guesses, suspicions, server settings."""

import zlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connectors.config.connector_file import Limits, parse
from connectors.drafting.first_file import render
from connectors.drafting.guess import guess, list_paths
from connectors.mongodb.position import parse_position
from connectors.mysql.position import (
    BinlogPosition,
    SnapshotPosition,
    describe_place,
    encode_snapshot,
    encode_stream,
    parse_snapshot,
    parse_stream,
)
from connectors.mysql.server import derive_server_id, find_setting_faults, translate_error
from connectors.ports import Position, SchemaSeen
from connectors.running.health import Vitals, find_ailments
from connectors.running.limits import DeadLetterLimits
from connectors.running.schema_guard import SchemaGuard
from connectors.suspicion import find_suspicions, has_luhn_digit
from contract.errors import ConfigurationError, DeadLetterLimitError, PositionDeadError, TransientError
from contract.events import Transaction
from contract.partitions import choose_partition
from support.connector_parts import NOW, config, mapper, row

GOOD_SERVER = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_row_metadata": "FULL"}


@given(bad=st.lists(st.booleans(), max_size=80))
def test_the_limits_stop_exactly_where_they_say(bad: list[bool]) -> None:
    limits = DeadLetterLimits(Limits(dead_letters_in_a_row=4, dead_letter_ratio=0.5, ratio_rows=10))
    for number, each in enumerate(bad, start=1):
        recent = bad[max(0, number - 10) : number]
        in_a_row = next((i for i, b in enumerate(reversed(bad[:number])) if not b), number)
        stops = each and (in_a_row >= 4 or (len(recent) == 10 and sum(recent) > 5))
        if stops:
            with pytest.raises(DeadLetterLimitError):
                limits.count(bad=each, reason="amount_invalid")
            return
        limits.count(bad=each, reason="amount_invalid")


def test_new_columns_and_unmapped_changes_are_nobodys_business() -> None:
    guard = SchemaGuard({}, lambda _: {"id", "details.card"})
    assert guard.record(SchemaSeen("t", {"id": "number", "details": "text", "note": "text"}))
    assert guard.expected == {"t": {"id": "number", "details": "text"}}
    assert not guard.record(SchemaSeen("t", {"id": "number", "details": "text", "note": "number", "more": "text"}))
    assert guard.find_fault("t") is None
    guard.record(SchemaSeen("t", {"id": "text", "note": "text"}))
    assert guard.find_fault("t") == "column details vanished; column id changed from number to text"
    guard.record(SchemaSeen("t", {"id": "number", "details": "text"}))
    assert guard.find_fault("t") is None


@given(st.binary(max_size=40), st.integers(1, 64))
def test_a_partition_is_crc32_of_the_key(key: bytes, count: int) -> None:
    assert choose_partition(key, count) == zlib.crc32(key) % count


def test_binlog_positions_survive_being_written_down() -> None:
    position = BinlogPosition(file="binlog.000009", offset=77, gtid="0-1-5", server="s")
    assert parse_stream(encode_stream(position)) == position
    scan = SnapshotPosition(start=position, table="orders", after="12", rows=500)
    assert parse_snapshot(encode_snapshot(scan)) == scan
    assert (encode_stream(position).stage, encode_snapshot(scan).stage) == ("stream", "snapshot")
    assert describe_place(position) == "binlog.000009:77, GTIDs up to 0-1-5"
    assert describe_place(BinlogPosition(file="binlog.000009", offset=77)) == "binlog.000009:77"


@pytest.mark.parametrize("text", ["", "{}", "7", '{"start": 1, "table": "orders", "after": null}'])
def test_a_place_in_a_snapshot_that_cannot_be_read_names_the_remedy(text: str) -> None:
    with pytest.raises(ConfigurationError, match="reset the connector's position"):
        parse_snapshot(Position("snapshot", text))


def test_binlog_files_are_compared_by_number() -> None:
    late = BinlogPosition(file="binlog.1000000", offset=4)
    assert late.has_reached(BinlogPosition(file="binlog.999999", offset=900))
    assert not BinlogPosition(file="binlog.999999", offset=900).has_reached(late)


@pytest.mark.parametrize("text", ["", "x", "{}", "[]", '{"file": 1}'])
def test_a_position_that_is_none_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(ConfigurationError, match="position looks like"):
        parse_stream(Position("stream", text))
    with pytest.raises(ConfigurationError, match="position looks like"):
        parse_position(Position("stream", text))


def test_server_settings_that_cannot_be_read_are_each_named() -> None:
    assert find_setting_faults(GOOD_SERVER) == []
    found = find_setting_faults(
        {"log_bin": "ON", "binlog_format": "MIXED", "log_bin_compress": "ON", "binlog_row_image": "FULL"}
    )
    assert len(found) == 2
    assert any("binlog_format=MIXED" in fault for fault in found)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (1236, "Could not find first log file name", PositionDeadError),
        (1236, "A slave with the same server_uuid/server_id as this slave has connected", TransientError),
        (1236, "log event entry exceeded max_allowed_packet", ConfigurationError),
        (1789, "purged", PositionDeadError),
        (1045, "Access denied", ConfigurationError),
        (2013, "Lost connection", TransientError),
    ],
)
def test_errors_of_mysql_mean_what_they_should(code: int, text: str, kind: type[Exception]) -> None:
    import pymysql

    server = config().source
    assert server.kind == "mysql"
    assert isinstance(translate_error(pymysql.OperationalError(code, text), server), kind)


def test_replica_ids_keep_clear_of_those_given_by_hand() -> None:
    assert 2**31 <= derive_server_id("shop/orders") < 2**32


def test_health_names_what_is_silent() -> None:
    vitals = Vitals(started_s=0.0)
    vitals.note_source(100.0)
    assert find_ailments(vitals, 101.0, 0.0, 30.0) == []
    assert "source has been silent for 100 s" in find_ailments(vitals, 200.0, 0.0, 30.0)[0]
    assert "Kafka has confirmed nothing" in find_ailments(vitals, 101.0, 31.0, 30.0)[0]


COLUMNS = [
    "order_id", "created_at", "total_amount", "currency", "customer_id", "email", "card_number", "client_ip", "phone",
    "ship_address", "device_id", "coupon_code", "is_fraud", "shoe_size",
]  # fmt: skip


def test_a_first_file_is_guessed_and_is_in_order() -> None:
    found = guess(COLUMNS, "order_id")
    assert found.fields["event_time"] == "created_at"
    assert found.fraud == "is_fraud"
    assert found.unused == ["shoe_size"]
    text = render(
        "shop-orders", {"kind": "mysql", "host": "h", "user": "u", "database": "shop"}, "orders", "order_id", found
    )
    draft = parse(text, "draft.yaml")
    assert draft.transactions.fields.card is not None
    assert draft.transactions.fields.card.tokenise


@given(st.lists(st.text(max_size=12), max_size=12, unique=True))
def test_whatever_the_columns_are_called_the_first_file_is_yaml(names: list[str]) -> None:
    source = {"kind": "mysql", "host": "h", "user": "u", "database": "shop"}
    text = render("orders", source, "orders", None, guess([name for name in names if name.strip()], None))
    assert isinstance(yaml.safe_load(text), dict)


def test_paths_of_documents_are_found() -> None:
    assert list_paths([{"a": {"b": 1, "c": {"d": 2}}, "e": [1]}, {"f": 1}]) == ["a.b", "a.c.d", "e", "f"]


def test_personal_data_in_plain_fields_is_suspected() -> None:
    made = [each for n in (1, 2) for each in mapper().map_row(row(n, customer_id=f"user{n}@mail.example"), NOW)]
    found = find_suspicions([each for each in made if isinstance(each, Transaction)])
    assert found == ["field customer looks like e-mail addresses; add `tokenise: true`, or map another column"]
    cards = [each for n in (1, 2) for each in mapper().map_row(row(n, customer_id="4111 1111 1111 1111"), NOW)]
    assert "card numbers" in find_suspicions([each for each in cards if isinstance(each, Transaction)])[0]
    hosts = [each for n in (1, 2) for each in mapper().map_row(row(n, customer_id=f"192.0.2.{n}"), NOW)]
    assert "network addresses" in find_suspicions([each for each in hosts if isinstance(each, Transaction)])[0]
    assert find_suspicions([each for each in mapper().map_row(row(1), NOW) if isinstance(each, Transaction)]) == []


def test_the_check_digit_of_cards_is_known() -> None:
    assert has_luhn_digit("4111111111111111")
    assert not has_luhn_digit("4111111111111112")
