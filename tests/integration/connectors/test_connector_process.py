"""The connector as a process: killed at any moment, stopped politely, and asked what it would do."""

import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from contract.dead_letters import DeadLetter
from contract.events import Label, Transaction
from contract.status.words import Heard, describe_condition, name_process
from runtime import ports
from support import forked
from support.connector_kafka import read_topic
from support.connector_worlds import MongoWorld, MysqlWorld
from support.forked import ForkedProcess
from support.live_worker import until
from tillguard.operations.process_list import read_processes

pytestmark = pytest.mark.integration
DEADLINE_S = 90.0


class Connector:
    """`tillguard connector` on one file, in processes of its own."""

    def __init__(self, file: Path, settings: Path) -> None:
        self.file = file
        self._settings = settings
        self._running: list[ForkedProcess] = []

    def start(self, *options: str) -> ForkedProcess:
        process = forked.start(self._command("run", str(self.file), *options), log=self.file.with_suffix(".log"))
        self._running.append(process)
        return process

    def call(self, *arguments: str, expect: int = 0) -> str:
        done = forked.run(self._command(*arguments), within_s=DEADLINE_S)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _command(self, *arguments: str) -> list[str]:
        return ["-m", "tillguard", "connector", *arguments, "--config", str(self._settings)]


@pytest.fixture(params=["mysql", "mongodb"])
def place(request: pytest.FixtureRequest, stack: Any) -> Iterator[MysqlWorld | MongoWorld]:
    made = (
        MysqlWorld(stack.endpoints["mariadb"]) if request.param == "mysql" else MongoWorld(stack.endpoints["mongodb"])
    )
    yield made
    made.close()


@pytest.fixture
def connector(place: MysqlWorld | MongoWorld, retailer: Any, tmp_path: Path) -> Iterator[Connector]:
    file = tmp_path / "orders.yaml"
    file.write_text(place.text, encoding="utf-8")
    made = Connector(file, retailer.file)
    yield made
    made.end()


def delivered(retailer: Any) -> list[str]:
    return [record.key.decode() for record in read_topic(retailer.settings.kafka, f"{retailer.name}.transactions.v1")]


def test_killed_again_and_again_it_loses_no_row(
    place: MysqlWorld | MongoWorld, connector: Connector, retailer: Any, chance: random.Random
) -> None:
    place.write(range(300))
    number = 300
    for _ in range(4):
        process = connector.start()
        until = time.monotonic() + chance.uniform(0.8, 4.0)
        while time.monotonic() < until:
            place.write([number])
            number += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
    connector.call("run", str(connector.file), "--until-caught-up")
    assert set(delivered(retailer)) == {str(each) for each in range(number)}


def test_asked_to_stop_it_saves_its_position_and_goes_on_without_repeating(
    place: MysqlWorld | MongoWorld, connector: Connector, retailer: Any
) -> None:
    place.write(range(50))
    place.let_writes_be_past()
    process = connector.start()
    deadline = time.monotonic() + DEADLINE_S
    while len(set(delivered(retailer))) < 50:
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    assert "stream" in connector.call("positions", "show")
    place.write(range(50, 60))
    connector.call("run", str(connector.file), "--until-caught-up")
    assert sorted(map(int, delivered(retailer))) == list(range(60))


def test_bad_rows_and_labels_go_where_they_belong(
    place: MysqlWorld | MongoWorld, connector: Connector, retailer: Any
) -> None:
    place.write(range(5))
    connector.call("run", str(connector.file), "--until-caught-up")
    if isinstance(place, MysqlWorld):
        place.execute("UPDATE orders SET is_fraud = 1 WHERE id = 3")
        place.execute("DELETE FROM orders WHERE id = 4")
        place.execute("INSERT INTO orders (id, placed_at, total, email) VALUES (90, NULL, 5, 'zq@private.example')")
        place.execute("INSERT INTO orders (id, placed_at, total) VALUES (91, '2026-01-01', -5)")
    else:
        place.orders.update_one({"_id": 3}, {"$set": {"is_fraud": True}})
        place.orders.delete_one({"_id": 4})
        place.orders.insert_one({"_id": 90, "total": 5, "email": "zq@private.example"})
        place.orders.insert_one({"_id": 91, "total": float("nan"), "placed_at": "2026-01-01T00:00:00"})
    connector.call("run", str(connector.file), "--until-caught-up")
    kafka, name = retailer.settings.kafka, retailer.name
    labels = [msgspec.json.decode(each.value, type=Label) for each in read_topic(kafka, f"{name}.labels.v1")]
    assert {(label.transaction_id, label.fraud) for label in labels} == {("3", True)}
    raw = read_topic(kafka, f"{name}.dead-letters.v1")
    letters = {letter.key: letter for letter in (msgspec.json.decode(each.value, type=DeadLetter) for each in raw)}
    assert {key: letter.reason for key, letter in letters.items()} == {"90": "field_missing", "91": "amount_invalid"}
    assert all(letter.source == f"{place.database}.orders" and letter.position for letter in letters.values())
    everything = b"".join(each.value + each.key for each in raw + read_topic(kafka, f"{name}.transactions.v1"))
    assert b"zq@private" not in everything
    assert b"@mail.example" not in everything
    for record in read_topic(kafka, f"{name}.transactions.v1"):
        assert msgspec.json.decode(record.value, type=Transaction).retailer == name


def test_check_shows_rows_and_names_faults(place: MysqlWorld | MongoWorld, connector: Connector) -> None:
    place.write(range(3))
    shown = connector.call("check", str(connector.file))
    assert "1230  (12.30 EUR)" in shown
    assert "k1." in shown
    assert "@mail.example" not in shown
    text = place.text.replace("customer: customer_id", "customer: email").replace("total", "totl")
    connector.file.write_text(text, encoding="utf-8")
    if isinstance(place, MysqlWorld):
        assert "has no column totl" in connector.call("check", str(connector.file), expect=2)
    else:
        assert "none of 3 rows can be used: amount" in connector.call("check", str(connector.file), expect=1)
    connector.file.write_text(place.text.replace("customer: customer_id", "customer: email"), encoding="utf-8")
    assert "looks like e-mail addresses" in connector.call("check", str(connector.file), expect=2)


def test_positions_can_be_shown_set_and_reset(
    place: MysqlWorld | MongoWorld, connector: Connector, retailer: Any
) -> None:
    place.write(range(3))
    place.let_writes_be_past()
    connector.call("run", str(connector.file), "--until-caught-up")
    before = connector.call("positions", "show").split("\t")[-1].strip()
    place.write([3])
    connector.call("run", str(connector.file), "--until-caught-up")
    connector.call("positions", "set", "orders", before)
    connector.call("run", str(connector.file), "--until-caught-up")
    assert sorted(delivered(retailer)) == ["0", "1", "2", "3", "3"]
    assert "position looks like" in connector.call("positions", "set", "orders", "nonsense", expect=2)
    assert "starts with a snapshot" in connector.call("positions", "reset", "orders")
    place.let_writes_be_past()
    connector.call("run", str(connector.file), "--until-caught-up")
    assert len(delivered(retailer)) == 9


def test_its_page_and_its_heartbeat_say_how_it_is(
    place: MysqlWorld | MongoWorld, connector: Connector, retailer: Any, free_port: int
) -> None:
    place.write(range(3))
    document = yaml.safe_load(retailer.file.read_text())
    retailer.file.write_text(yaml.safe_dump(document | {"status": {"every_s": 0.2}}))
    process = connector.start("--web-port", str(free_port))
    deadline = time.monotonic() + DEADLINE_S
    rows = 'tillguard_connector_rows_total{connector="orders",phase="snapshot"} 3.0'
    while rows not in page(free_port, "metrics"):
        assert time.monotonic() < deadline
    assert json.loads(page(free_port, "health")) == {"healthy": True, "reasons": []}

    def told() -> Heard:
        (found,) = until(lambda: read_processes(retailer.settings), "its status")
        return found

    until(lambda: describe_condition(told().status.condition) == "streaming, up to date", "a stream")
    until(lambda: told().status.condition.position, "its place in the log")
    assert name_process(told().status) == "connector orders"
    assert told().status.process.endswith(f"-{process.pid}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0
    assert (told().status.stopped, told().status.condition.reasons) == (True, [])
    (line,) = forked.tillguard("processes", "--config", str(retailer.file)).stdout.splitlines()
    assert line.startswith("connector orders  stopped ")


def page(port: int, name: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.fixture
def free_port(chance: random.Random) -> int:
    return ports.choose((), chance)


def test_a_first_file_is_drafted_from_the_live_table(
    place: MysqlWorld | MongoWorld, connector: Connector, tmp_path: Path
) -> None:
    place.write(range(3))
    source = place.config().source
    assert source.kind != "file"
    draft = tmp_path / "draft.yaml"
    options = ["--kind", source.kind, "--host", source.host, "--port", str(source.port), "--database", source.database]
    options += ["--table", "orders", "-o", str(draft)]
    if source.kind == "mysql" and source.password is not None:
        options += ["--user", str(source.user), "--password-env", "TEST_DB_PASSWORD"]
        os.environ["TEST_DB_PASSWORD"] = source.password.get_secret_value()
    forked.tillguard("connector", "new", *options, within_s=DEADLINE_S).check_returncode()
    text = draft.read_text(encoding="utf-8")
    assert "email: {column: email, tokenise: true}" in text
    assert "amount: {column: total, unit: major}" in text
    assert "12.30 EUR" in connector.call("check", str(draft))
