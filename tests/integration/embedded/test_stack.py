import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pymongo
import pymysql
import pytest
import redis
from bson.timestamp import Timestamp
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from embedded import ledger
from embedded.errors import ServiceFailedError, StackError
from embedded.stack import SERVICES, Stack
from runtime import processes
from runtime.kafka import topics

pytestmark = pytest.mark.integration


def states(stack: Stack) -> dict[str, str]:
    return {found.name: found.state for found in stack.check_status()}


def pid(stack: Stack, name: str) -> int | None:
    return next(found.pid for found in stack.check_status() if found.name == name)


def redis_of(stack: Stack) -> Any:
    return redis.Redis.from_url(stack.endpoints["redis"].uri)


def test_every_server_answers_and_a_second_start_changes_nothing(stack: Any) -> None:
    first = {name: stack.endpoints[name] for name in SERVICES}
    before = {found.name: found.pid for found in stack.inner.check_status()}
    assert set(states(stack.inner).values()) == {"running"}
    assert stack.inner.start() == first
    assert {found.name: found.pid for found in stack.inner.check_status()} == before


def test_a_state_folder_may_have_any_name_and_no_account_lacks_a_password(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "märz #1 it's", die_with_parent=True)
    try:
        endpoint = stack.start()["mariadb"]
        assert set(states(stack).values()) == {"running"}
        with pytest.raises(pymysql.OperationalError, match="Access denied"):
            pymysql.connect(host=endpoint.host, port=endpoint.port, user="root")
    finally:
        stack.stop()


def test_two_servers_that_start_at_once_do_not_delete_each_other_s_temporary_tables(own_stack: Any) -> None:
    endpoint = own_stack.inner.start(["mariadb"])["mariadb"]

    with (
        pymysql.connect(
            host=endpoint.host, port=endpoint.port, user=endpoint.user, password=endpoint.password
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT @@tmpdir")
        (folder,) = cursor.fetchone() or ("",)

    assert Path(folder).is_relative_to(own_stack.folder)


def test_only_the_servers_asked_for_are_started(own_stack: Any) -> None:
    own_stack.inner.start(["redis"])
    assert states(own_stack.inner) == {
        "kafka": "stopped",
        "redis": "running",
        "mariadb": "stopped",
        "mongodb": "stopped",
    }


def test_acknowledged_redis_writes_survive_a_kill_and_the_address_stays(own_stack: Any) -> None:
    stack = own_stack.inner
    before = stack.start(["redis"])["redis"]
    with redis_of(stack) as client:
        for number in range(200):
            client.set(f"key-{number}", number)
    stack.kill("redis")
    assert states(stack)["redis"] == "crashed"
    assert stack.start(["redis"])["redis"] == before
    with redis_of(stack) as client:
        assert [int(client.get(f"key-{number}")) for number in range(200)] == list(range(200))


def test_redis_data_survives_an_orderly_stop_too(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    with redis_of(stack) as client:
        client.set("kept", "yes")
    assert stack.stop() == ["redis"]
    assert stack.stop() == []
    stack.start(["redis"])
    with redis_of(stack) as client:
        assert client.get("kept") == b"yes"


def test_acknowledged_kafka_records_survive_a_kill(own_stack: Any, retailer_name: str) -> None:
    stack = own_stack.inner
    servers = stack.start(["kafka"])["kafka"].uri
    topics.ensure(_settings(retailer_name, servers))
    topic = f"{retailer_name}.verdicts.v1"
    producer = KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    sent = [producer.send(topic, key=b"%d" % number, value=b"%d" % number, partition=0) for number in range(500)]
    for future in sent:
        future.get(timeout=30)
    stack.kill("kafka")
    producer.close(timeout=0)
    assert stack.start(["kafka"])["kafka"].uri == servers
    assert _read_all(servers, topic, 500) == [b"%d" % number for number in range(500)]


def test_mariadb_makes_no_key_for_tls_at_its_start(stack: Any) -> None:
    """RSA-4096 takes up to ten seconds of processor time, and the server listens on this machine alone."""
    with _mariadb(stack) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@have_ssl")
        assert cursor.fetchone() == ("DISABLED",)


def test_mariadb_rows_and_binlog_survive_a_kill(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["mariadb"])
    with _mariadb(stack) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop")
        cursor.execute("CREATE TABLE shop.sales (id INT PRIMARY KEY, note VARCHAR(20))")
        cursor.executemany("INSERT INTO shop.sales VALUES (%s, %s)", [(number, "naïve €") for number in range(50)])
        connection.commit()
    stack.kill("mariadb")
    stack.start(["mariadb"])
    with _mariadb(stack) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*), MAX(note) FROM shop.sales")
        assert cursor.fetchone() == (50, "naïve €")
        cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'binlog_row_metadata')")
        assert dict(cursor.fetchall()) == {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_metadata": "FULL"}


def test_the_mongo_wire_server_streams_changes_and_its_generation_ends_with_it(own_stack: Any) -> None:
    stack = own_stack.inner
    first = stack.start(["mongodb"])["mongodb"]
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(first.uri)
    with client:
        assert client.server_info()["versionArray"][0] == 5
        orders = client["shop"]["orders"]
        now = Timestamp(int(time.time()), 1)
        with orders.watch(max_await_time_ms=200, start_at_operation_time=now) as changes:
            orders.insert_one({"_id": 1, "amount": 5})
            assert changes.next()["fullDocument"] == {"_id": 1, "amount": 5}
    second = stack.restart("mongodb")
    assert (second.port, second.uri) == (first.port, first.uri)
    assert second.generation != first.generation


def test_a_dead_stack_s_records_are_recognised_and_every_server_comes_back(own_stack: Any) -> None:
    stack = own_stack.inner
    before = stack.start(["redis", "mongodb"])
    stack.kill("redis")
    stack.kill("mongodb")
    alive = pid(stack, "mongodb")
    assert alive is None
    assert states(stack)["redis"] == states(stack)["mongodb"] == "crashed"
    after = stack.start(["redis", "mongodb"])
    assert after["redis"] == before["redis"]
    assert states(stack)["redis"] == states(stack)["mongodb"] == "running"


def test_a_server_that_nobody_wrote_down_is_replaced_not_doubled(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    forgotten = ledger.read(stack.folder / "stack.json").services["redis"].process
    assert forgotten is not None
    (stack.folder / "stack.json").unlink()
    stack.start(["redis"])
    assert not processes.is_alive(forgotten)
    assert len(processes.find(str(stack.folder / "redis" / "redis.conf"))) == 1


def test_a_reused_pid_is_never_signalled(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    stack.kill("redis")
    file = stack.folder / "stack.json"
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        document = json.loads(file.read_text())
        document["services"]["redis"]["process"]["pid"] = bystander.pid
        file.write_text(json.dumps(document))
        assert states(stack)["redis"] == "crashed"
        stack.stop()
        stack.start(["redis"])
        stack.kill("redis")
        assert bystander.poll() is None
    finally:
        bystander.communicate()
    assert bystander.returncode == 0


def test_a_server_that_hangs_is_told_from_one_that_runs_and_can_be_stopped(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    stack.kill("redis", signal.SIGSTOP)
    assert states(stack)["redis"] == "unresponsive"
    stack.kill("redis", signal.SIGCONT)
    assert states(stack)["redis"] == "running"


def test_a_port_taken_by_another_program_is_left_to_it(own_stack: Any) -> None:
    stack = own_stack.inner
    before = stack.start(["redis"])["redis"]
    stack.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((before.host, before.port))
        other.listen()
        after = stack.start(["redis"])["redis"]
    assert after.port != before.port
    assert after.password == before.password


def test_a_server_that_cannot_start_is_named_with_the_end_of_its_log(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    with redis_of(stack) as client:
        client.set("a", "b")
    stack.stop()
    # Damage in the middle of the log is not what a kill leaves, so Redis refuses it.
    (stack.folder / "redis" / "data" / "appendonly.aof").write_bytes(b"not a log at all\r\n")
    with pytest.raises(
        ServiceFailedError, match=r"(?s)redis .*ended .*the end of its log.*redis\.log: .*[Bb]ad file format"
    ):
        stack.start(["redis"])


def test_addresses_and_passwords_are_for_their_owner_only(own_stack: Any) -> None:
    stack = own_stack.inner
    stack.start(["redis"])
    for file in (stack.folder / "stack.json", stack.folder / "redis" / "redis.conf"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    with (
        redis.Redis(host="127.0.0.1", port=stack.endpoints["redis"].port) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.get("anything")


def test_two_starts_at_once_make_one_stack(own_stack: Any) -> None:
    folder: Path = own_stack.folder
    program = "import sys; from pathlib import Path; from embedded.stack import Stack; Stack(Path(sys.argv[1])).start(['redis'])"
    both = [subprocess.Popen([sys.executable, "-c", program, str(folder)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len(processes.find(str(folder / "redis" / "redis.conf"))) == 1


def test_the_servers_of_a_test_run_die_with_it(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from embedded.stack import Stack\n"
        "Stack(Path(sys.argv[1]), die_with_parent=True).start(['redis'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    process = ledger.read(tmp_path / "stack.json").services["redis"].process
    assert process is not None
    assert processes.wait(process, 30)


def test_up_status_and_down_tell_what_they_did(own_stack: Any) -> None:
    folder: Path = own_stack.folder
    up = _tillguard(folder, "up", "--only", "redis", "--json")
    port = json.loads(up.stdout)["redis"]["port"]
    assert "(was running)" in _tillguard(folder, "up", "--only", "redis").stdout
    status = _tillguard(folder, "status", "--json", expect=1)
    listed = {entry["name"]: entry for entry in json.loads(status.stdout)}
    assert (listed["redis"]["state"], listed["redis"]["endpoint"]["port"]) == ("running", port)
    assert listed["kafka"]["state"] == "stopped"
    assert _tillguard(folder, "down").stdout == "stopped redis\n"
    assert _tillguard(folder, "down").stdout == "nothing was running\n"
    assert "no such service" in _tillguard(folder, "up", "--only", "oracle", expect=2).stderr


def test_a_damaged_ledger_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{ not json")
    with pytest.raises(StackError, match="delete it and run `tillguard up` again"):
        Stack(tmp_path).check_status()


def _tillguard(folder: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TILLGUARD_STATE": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "tillguard", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stderr
    return done


def _settings(name: str, servers: str) -> Any:
    from contract.settings import parse

    return parse({"retailer": name, "kafka": {"bootstrap_servers": servers, "partitions": 2}}, where="test")


def _read_all(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=servers, consumer_timeout_ms=20_000, auto_offset_reset="earliest")
    try:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        values = []
        for record in consumer:
            values.append(record.value)
            if len(values) == count:
                break
        return values
    finally:
        consumer.close()


def _mariadb(stack: Stack) -> Any:
    endpoint = stack.endpoints["mariadb"]
    return pymysql.connect(
        host=endpoint.host, port=endpoint.port, user=endpoint.user, password=endpoint.password, charset="utf8mb4"
    )
