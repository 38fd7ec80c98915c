"""A Redis that is slow, forgets its scripts, moves, dies in the middle: nothing doubled, nothing lost, no answer mixed up."""

import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from contract.errors import InvariantError
from contract.settings import Settings, parse
from scoring.ports import Applied, Case, StoreUnavailableError, WindowUpdate
from scoring.store.client import RedisClient, build_client_name
from scoring.store.keys import Keys
from scoring.store.redis_store import RedisStore
from scoring.store.space import KeySpace
from support.cases import answer, new_case
from support.redis_server import started
from support.reference import aggregates
from support.window_updates import column, differences, window_update
from tillguard import cli
from tillguard.wiring.stores import make_case_store, make_rules_archive, make_window_store

pytestmark = pytest.mark.integration

WAIT_S = 10.0
PATIENCE_S = 30.0


def persist(store: RedisStore, window_updates: list[WindowUpdate]) -> Applied:
    """Sends again until there is an answer, as the engine does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return store.send(window_updates, "m", "r").wait(WAIT_S)
        except StoreUnavailableError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def retailer_at(port: int, **server: Any) -> Settings:
    return parse({"retailer": "shop", "redis": {"host": "127.0.0.1", "port": port, **server}}, where="test")


def test_answers_that_come_too_late_are_never_taken_for_others(
    open_store: Callable[..., RedisStore], redis_client: redis.Redis
) -> None:
    store = open_store()
    persist(store, [window_update("before", card="x")])
    napper = threading.Thread(target=redis_client.execute_command, args=("DEBUG", "SLEEP", "0.4"))
    napper.start()
    lost: list[WindowUpdate] = []
    with pytest.raises(StoreUnavailableError):
        _send_until_lost(store, lost)
    applied = persist(store, [window_update("after", 2_000, 5, card="y")])
    assert applied.aggregates[0, column("card.sum_1m")] == 5
    napper.join()
    again = persist(store, lost)
    assert again.applied_seq.tolist() == sorted(set(again.applied_seq.tolist()))
    assert again.aggregates[:, column("card.count_30d")].tolist() == list(range(2, len(lost) + 2))


def _send_until_lost(store: RedisStore, sent: list[WindowUpdate]) -> None:
    while True:  # the nap may begin a moment later than its thread
        sent.append(window_update(f"lost{len(sent)}", len(sent), 1, card="x"))
        store.send(sent[-1:], "m", "r").wait(0.05)


def test_tickets_of_a_dropped_connection_fail_and_may_be_sent_again(
    open_store: Callable[..., RedisStore], redis_client: redis.Redis
) -> None:
    store = open_store()
    persist(store, [window_update("first", card="x")])
    batches = [[window_update(f"{i}-{j}", card="x") for j in range(3)] for i in range(3)]
    tickets = [store.send(batch, "m", "r") for batch in batches]
    store.close()
    for ticket in tickets:
        with pytest.raises(StoreUnavailableError):
            ticket.wait(WAIT_S)
    answers = [persist(store, batch) for batch in batches]
    assert sorted(np.concatenate([answer.applied_seq for answer in answers]).tolist()) == list(range(2, 11))


def test_scripts_that_redis_forgot_are_loaded_again(
    open_store: Callable[..., RedisStore], redis_client: redis.Redis
) -> None:
    store = open_store()
    persist(store, [window_update("a", card="x")])
    redis_client.script_flush()
    tickets = [store.send([window_update(f"b{i}", i, card="x")], "m", "r") for i in range(3)]
    sequence = [int(ticket.wait(WAIT_S).applied_seq[0]) for ticket in tickets]
    assert sorted(sequence) == [2, 3, 4]


def test_a_store_that_cannot_be_reached_fails_at_once_and_is_tried_again_after_a_pause() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        store = make_window_store(retailer_at(unused.getsockname()[1]))
        began_s = time.monotonic()
        for _ in range(200):
            with pytest.raises(StoreUnavailableError):
                store.send([window_update("a", card="x")], "m", "r")
        assert time.monotonic() - began_s < 5
        assert store._link.generation < 20
        store.close()
        cases = make_case_store(retailer_at(unused.getsockname()[1]))
        with pytest.raises(StoreUnavailableError):
            cases.get("a")
        cases.stop()


def test_a_command_that_cannot_reach_redis_says_so_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        (tmp_path / "settings.yaml").write_text(f"retailer: shop\nredis: {{host: 127.0.0.1, port: {port}}}\n")
        monkeypatch.setattr(sys, "argv", ["tillguard", "lists", "show", "--config", str(tmp_path / "settings.yaml")])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == 1
    assert f"tillguard: Redis at 127.0.0.1:{port} did not answer (ConnectionError)" in capsys.readouterr().err


def test_a_redis_that_hangs_holds_nobody_up_longer_than_the_budget(tmp_path: Path) -> None:
    with started(tmp_path) as port, redis.Redis(port=port) as client:
        store = make_window_store(retailer_at(port), connect_wait_s=0.05)
        hurried = RedisClient(retailer_at(port).redis, 0.05)
        cases = make_case_store(retailer_at(port), hurried)
        rules = make_rules_archive(retailer_at(port), hurried)
        persist(store, [window_update("a", card="x")])
        assert (cases.get("a"), rules.find("r")) == (None, None)
        process = client.info("server")["process_id"]
        os.kill(process, signal.SIGSTOP)
        try:
            longest_s, until_s = 0.0, time.monotonic() + 2.5
            while (began_s := time.monotonic()) < until_s:
                with pytest.raises(StoreUnavailableError):
                    store.send([window_update("b", 1, card="x")], "m", "r").wait(0.05)
                with pytest.raises(StoreUnavailableError):
                    cases.get("a")
                with pytest.raises(StoreUnavailableError):
                    rules.find("r")
                longest_s = max(longest_s, time.monotonic() - began_s)
        finally:
            os.kill(process, signal.SIGCONT)
        assert longest_s < 0.5
        assert persist(store, [window_update("b", 1, card="x")]).aggregates[0, column("card.count_1m")] == 2
        store.close()
        cases.stop()
        rules.close()


def test_connections_bear_the_name_of_their_process_and_who_may_not_give_it_is_served_all_the_same(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as port, redis.Redis(port=port) as client:
        client.acl_setuser("quiet", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-client"])
        for account, named in (({}, 2), ({"username": "quiet", "password": "secret"}, 0)):
            store, cases = (
                make_window_store(retailer_at(port, **account)),
                make_case_store(retailer_at(port, **account)),
            )
            persist(store, [window_update("a", card="x")])
            assert cases.get("a") is None
            assert [one["name"] for one in client.client_list()].count(build_client_name()) == named
            store.close()
            cases.stop()


def test_however_many_threads_share_a_client_it_opens_two_connections_at_most(tmp_path: Path) -> None:
    with (
        started(tmp_path) as port,
        redis.Redis(port=port) as client,
        closing(RedisClient(retailer_at(port).redis)) as ours,
    ):
        waiting = lambda: ours.run(lambda client: client.blpop(["never"], 0.2))  # noqa: E731 - long enough to overlap
        threads = [threading.Thread(target=waiting) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [one["name"] for one in client.client_list()].count(build_client_name()) == 2


def test_a_wrong_password_is_unavailable_and_is_not_shown(settings: Settings) -> None:
    redis_settings = settings.redis.model_dump() | {"password": "open-sesame"}
    store = make_window_store(parse({"retailer": "shop", "redis": redis_settings}, where="test"))
    with pytest.raises(StoreUnavailableError) as raised:
        store.send([window_update("a", card="x")], "m", "r")
    assert str(raised.value) == "the store did not answer: WRONGPASS"
    store.close()


def test_a_state_of_a_foreign_kind_stops_the_worker_and_changes_nothing(
    open_store: Callable[..., RedisStore], redis_client: redis.Redis, keys: Keys
) -> None:
    redis_client.rpush(keys.name_entity("device", "d"), "foreign")
    with pytest.raises(InvariantError):
        open_store().send([window_update("a", card="x", device="d")], "m", "r").wait(WAIT_S)
    assert set(redis_client.scan_iter(f"{{{keys.retailer}}}*")) == {keys.name_entity("device", "d"), keys.coverage}


def test_a_full_redis_is_unavailable_and_nothing_is_half_applied(tmp_path: Path) -> None:
    with started(tmp_path) as port, redis.Redis(port=port) as client:
        store = make_window_store(retailer_at(port))
        persist(store, [window_update("a", card="x")])
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError):
            store.send([window_update("b", 1, card="x")], "m", "r").wait(WAIT_S)
        client.config_set("maxmemory", 0)
        applied = persist(store, [window_update("b", 1, card="x")])
        assert applied.first.tolist() == [True]
        assert applied.aggregates[0, column("card.count_1m")] == 2
        store.close()


def test_kill_9_in_the_middle_of_a_stream_doubles_and_loses_nothing(
    own_stack: Any, tmp_path: Path, chance: Any
) -> None:
    endpoint = own_stack.endpoints["redis"]
    store = make_window_store(retailer_at(endpoint.port, password=endpoint.password, timeout_s=5))
    many = [
        window_update(f"t{i}", i * 700, i, card=f"c{i % 3}", device=f"d{i % 2}", customer=f"u{i % 7}")
        for i in range(2_000)
    ]
    batches = [many[i : i + 20] for i in range(0, len(many), 20)]
    killed_at = set(chance.sample(range(len(batches)), 3))
    answers = []
    for number, batch in enumerate(batches):
        killer = None
        if number in killed_at:
            pause_s = chance.uniform(0, 0.003)
            killer = threading.Thread(target=_kill, args=(own_stack, pause_s))
            killer.start()
            with suppress(StoreUnavailableError):
                while True:  # until the server is gone
                    store.send(batch, "m", "r").wait(WAIT_S)
            killer.join()
            endpoint = own_stack.restart("redis")
        answers.append(persist(store, batch))
    sequence = np.concatenate([answer.applied_seq for answer in answers]).tolist()
    assert sorted(sequence) == list(range(1, len(many) + 1))
    matrix = np.concatenate([answer.aggregates for answer in answers])
    assert differences(matrix, aggregates(zip(sequence, many, strict=True))) == []
    store.close()


def _kill(stack: Any, pause_s: float) -> None:
    time.sleep(pause_s)
    stack.kill("redis")


def test_on_a_cluster_every_key_of_a_retailer_lies_in_one_slot(tmp_path: Path) -> None:
    with started(tmp_path, "--cluster-enabled", "yes") as port, redis.Redis(port=port) as client:
        _take_all_slots(client)
        store, cases = make_window_store(retailer_at(port)), make_case_store(retailer_at(port))
        given = [
            window_update("a", card="old", device="d"),
            window_update("b", 1, card="new", device="d", aliases={"card": "old"}),
        ]
        persist(store, given)
        cases.open([new_case("a", "v", datetime.now(UTC) - timedelta(hours=1))])
        assert len(cases.list_expired(datetime.now(UTC), 5)) == 1
        names = list(client.scan_iter("*"))
        assert len(names) > 6
        assert len({client.execute_command("CLUSTER", "KEYSLOT", name) for name in names}) == 1
        assert KeySpace(retailer_at(port)).erase("card", "new") > 0
        store.close()
        cases.stop()


def test_on_a_cluster_a_retailer_is_followed_to_its_node(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    with (
        started(folders[0], "--cluster-enabled", "yes") as here,
        started(folders[1], "--cluster-enabled", "yes") as there,
        redis.Redis(port=here) as first,
        redis.Redis(port=there) as second,
    ):
        _take_all_slots(second)
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", there)
        _until(lambda: _formed(first))
        store, cases = make_window_store(retailer_at(here)), make_case_store(retailer_at(here))
        applied = persist(store, [window_update("a", card="x")])
        assert applied.first.tolist() == [True]
        cases.open([new_case("a", "v")])
        assert cases.get("a") == Case("a", 1, answer("v").verdict, None)
        assert second.exists(Keys("shop").name_sight("a"))
        store.close()
        cases.stop()


def _take_all_slots(client: redis.Redis) -> None:
    client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))  # type: ignore[no-untyped-call]  # of redis-py
    _until(lambda: _formed(client))


def _formed(client: redis.Redis) -> bool:
    return b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]  # of redis-py


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "the cluster did not form"
        time.sleep(0.05)


def test_the_store_speaks_tls_and_refuses_a_certificate_it_does_not_trust(tmp_path: Path) -> None:
    authority, certificate, key = _certificates(tmp_path)
    with started(tmp_path) as port, _tls_in_front_of(port, certificate, key) as tls_port:
        store = make_window_store(retailer_at(tls_port, tls=True, ssl_ca_file=str(authority)))
        assert persist(store, [window_update("a", card="x")]).first.tolist() == [True]
        store.close()
        stranger = make_window_store(retailer_at(tls_port, tls=True))
        with pytest.raises(StoreUnavailableError):
            stranger.send([window_update("b", card="x")], "m", "r")
        stranger.close()


def _certificates(folder: Path) -> tuple[Path, Path, Path]:
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "redis.crt", folder / "redis.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, certificate_file, key_file


@contextmanager
def _tls_in_front_of(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Ends TLS before a server that speaks none."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                with suppress(OSError):
                    outside = context.wrap_socket(plain, server_side=True)
                    inside = socket.create_connection(("127.0.0.1", port))
                    pair = [
                        threading.Thread(target=carry, args=ends) for ends in ((outside, inside), (inside, outside))
                    ]
                    for thread in pair:
                        thread.start()
                    for thread in pair:
                        thread.join()
                    outside.close()
                    inside.close()

    threads.append(threading.Thread(target=serve))
    threads[0].start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        threads[0].join()
