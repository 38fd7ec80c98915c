"""A worker as a user runs it: `tillguard score`, its answers, its pages, and the commands around it."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from contract.status.message import ProcessStatus
from contract.status.words import describe_condition, judge_state
from contract.topics import DEAD_LETTERS, FEATURES, LABELS, MODELS, RULES, TRANSACTIONS, VERDICTS
from support.live_worker import LiveWorker, Shop, until
from tillguard.operations.process_list import read_processes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def shop(retailer: Any, tmp_path: Path) -> Shop:
    return Shop(retailer, tmp_path)


@pytest.fixture(params=["librdkafka", "agent"])
def feed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_transaction_gets_its_verdict_its_features_and_its_windows(shop: Shop, feed: str) -> None:
    shop.configure("status", every_s=0.2)
    shop.topics.publish_model()
    with shop.worker("--feed", feed) as worker:
        worker.await_ready()
        told = await_told(shop, worker, lambda told: told.condition.healthy and told.condition.breaker_open is not None)
        count = shop.settings.kafka.partitions
        assert describe_condition(told.condition) == f"{count} partitions, up to date, ready"
        assert (told.condition.model_version, told.condition.breaker_open) == ("tiny-1", False)
        shop.topics.sell(*(shop.topics.transaction(f"t{n}", customer="ann") for n in range(3)))
        verdicts = [shop.topics.verdict(f"t{n}") for n in range(3)]
        assert worker.terminate() == 0
    assert {v["decision"] for v in verdicts} == {"allow"}
    assert {v["model_version"] for v in verdicts} == {"tiny-1"}
    assert not any(v["degraded"] or v["late"] for v in verdicts)
    assert set(verdicts[0]["stage_us"]) == {"decode", "windows", "features", "model", "decide"}
    assert len(shop.topics.read(FEATURES)) == 3
    shown = json.loads(shop.command("processes", "--json").stdout)
    assert [(one["name"], one["state"]) for one in shown] == [(f"scoring {told.process}", "stopped")]


def test_a_worker_says_what_it_lacks_and_answers_degraded_until_it_has_it(shop: Shop) -> None:
    shop.configure("status", every_s=0.2)
    with shop.worker() as worker:
        until(lambda: worker.failing_checks() == {"model"}, "a worker that lacks only a model")
        assert "tillguard train" in worker.page("/ready")[1]
        told = await_told(shop, worker, lambda told: told.condition.partitions is not None)
        assert [reason[:18] for reason in told.condition.reasons] == ["no model is loaded"]
        assert worker.page("/health") == (200, '{"alive":true}')
        shop.topics.sell(shop.topics.transaction("t"))
        first = shop.topics.verdict("t", revision=0)
        assert (first["degraded"], first["cause"], first["score"]) == (True, "model_unavailable", None)
        shop.topics.publish_model()
        full = shop.topics.verdict("t", revision=1)
        assert (full["degraded"], full["model_version"]) == (False, "tiny-1")
        worker.await_ready()
        assert worker.terminate() == 0


def test_a_worker_without_redis_answers_degraded_says_so_and_commits_nothing(shop: Shop) -> None:
    right = shop.settings.redis.port
    shop.topics.publish_model()
    shop.configure("redis", port=9)
    with shop.worker() as worker:
        until(lambda: worker.failing_checks() == {"store"}, "a worker that lacks only Redis")
        shop.topics.sell(shop.topics.transaction("t", amount_minor=40_000))
        first = shop.topics.verdict("t", revision=0)
        assert (first["cause"], first["decision"]) == ("state_unavailable", "hold")
        assert worker.terminate() == 0
    shop.configure("redis", port=right)
    with shop.worker() as worker:
        assert shop.topics.verdict("t", revision=1)["degraded"] is False
        assert worker.terminate() == 0


def test_a_new_model_serves_within_a_second_and_no_event_is_lost(shop: Shop) -> None:
    shop.topics.publish_model("tiny-1")
    with shop.worker() as worker:
        worker.await_ready()
        before = shop.topics.transaction("before")
        shop.topics.sell(before)
        assert shop.topics.verdict("before")["model_version"] == "tiny-1"
        shop.topics.publish_model("tiny-2")
        published = time.monotonic()
        until(lambda: 'model_version="tiny-2"' in worker.page("/metrics")[1], "the new model")
        assert time.monotonic() - published < 1.0
        shop.topics.sell(shop.topics.transaction("after"))
        assert shop.topics.verdict("after")["model_version"] == "tiny-2"
        shop.topics.sell(before)
        again = until(lambda: shop.topics.verdicts()["before"][1:], "the redelivered transaction's answer")[0]
        assert (again["model_version"], again["revision"]) == ("tiny-1", 1)
        assert worker.terminate() == 0


def test_a_restarted_worker_has_its_model_before_it_reads_the_first_transaction(shop: Shop) -> None:
    shop.topics.publish_model()
    shop.topics.sell(shop.topics.transaction("t"))
    with shop.worker() as worker:
        shop.topics.verdict("t")
        assert worker.terminate() == 0
    assert [v["revision"] for v in shop.topics.verdicts()["t"]] == [1]


def rules_of(limit: int) -> str:
    return f"rules: [{{id: over-{limit}, text: large, when: amount > {limit}, decision: flag}}]\n"


def publish_rules(shop: Shop, limit: int) -> str:
    """The version that the command line names."""
    file = shop.folder / "rules.yaml"
    file.write_text(rules_of(limit))
    done = shop.command("rules", "publish", str(file), "--reason", f"from {limit}", "--by", "ana")
    assert done.returncode == 0, done.stderr
    return str(done.stdout.split()[0])


def put_in_service(shop: Shop, version: str) -> None:
    done = shop.command("rules", "serve", version, "--reason", "a test", "--by", "ben")
    assert done.returncode == 0, done.stderr


def test_published_rules_serve_without_a_restart_and_after_a_kill(shop: Shop) -> None:
    shop.topics.publish_model()
    first = publish_rules(shop, 10)
    with shop.worker() as worker:
        worker.await_ready()
        old = shop.topics.transaction("old")
        shop.topics.sell(old)
        shipped = shop.topics.verdict("old")
        assert (shipped["rules"], shipped["decision"]) == ([], "allow")
        put_in_service(shop, first)
        until(lambda: f'rules_version="{first}"' in worker.page("/metrics")[1], "the first version")
        shop.topics.sell(shop.topics.transaction("one"), old)
        one = shop.topics.verdict("one")
        assert (one["rules_version"], one["rules"], one["decision"]) == (first, ["over-10"], "flag")
        again = until(lambda: shop.topics.verdicts()["old"][1:], "the redelivered transaction's answer")[0]
        assert (again["rules_version"], again["decision"]) == (shipped["rules_version"], "allow")
        worker.kill()
    second = publish_rules(shop, 20)
    put_in_service(shop, second)
    shop.topics.send(RULES, [(b"r-x", b"{"), (b"serving", shop.topics.serve_rules("r-ffffffffffff", previous=second))])
    with shop.worker() as worker:
        until(lambda: worker.failing_checks() == {"rules"}, "a worker that lacks only the rules that should serve")
        assert "r-ffffffffffff" in worker.page("/ready")[1]
        assert "rules_refused_total" in worker.page("/metrics")[1]
        shop.topics.sell(shop.topics.transaction("two"))
        assert shop.topics.verdict("two")["rules"] == ["over-20"]
        put_in_service(shop, first)
        worker.await_ready()
        shop.topics.sell(shop.topics.transaction("three"))
        assert shop.topics.verdict("three")["rules"] == ["over-10"]
        assert_snoozed_for_one_customer_alone(shop, "over-10")
        assert worker.terminate() == 0
    listed = shop.command("rules", "versions").stdout
    assert f"{first} serves since" in listed
    assert all(word in listed for word in (second, "by ben: a test", "ana", "from 20"))


def assert_snoozed_for_one_customer_alone(shop: Shop, rule: str) -> None:
    chosen = ("--rule", rule, "--entity", "customer", "--value", "ann")
    added = shop.command("snoozes", "add", *chosen, "--expires", "180d", "--reason", "asked her")
    assert added.returncode == 0, added.stderr
    shop.topics.sell(shop.topics.transaction("hers", customer="ann"), shop.topics.transaction("his", customer="bob"))
    hers, his = shop.topics.verdict("hers"), shop.topics.verdict("his")
    assert (hers["decision"], hers["rules"], hers["snoozed"]) == ("allow", [], [{"rule": rule, "entity": "customer"}])
    assert (his["decision"], his["rules"], his["snoozed"]) == ("flag", [rule], [])
    assert all(word in shop.command("snoozes", "show").stdout for word in (rule, "ann", "asked her"))
    assert [shop.command("snoozes", "remove", *chosen).returncode for _ in range(2)] == [0, 1]
    wrong = shop.command("snoozes", "add", *chosen, "--expires", "181d", "--reason", "asked her")
    assert (wrong.returncode, "180 days" in wrong.stderr) == (2, True)
    unknown = shop.command("snoozes", "add", "--rule", "typo", *chosen[2:], "--expires", "1d", "--reason", "asked her")
    assert (unknown.returncode, rule in unknown.stderr) == (2, True)


def await_told(shop: Shop, worker: LiveWorker, wanted: Callable[[ProcessStatus], bool]) -> ProcessStatus:
    """The newest status of the worker, once it is as wanted."""

    def look() -> ProcessStatus | None:
        own = [
            one.status for one in read_processes(shop.settings) if one.status.process.endswith(f"-{worker.process.pid}")
        ]
        return next(filter(wanted, own), None)

    return until(look, "the worker's status")


def connections_of(worker: LiveWorker, redis_client: redis.Redis) -> int:
    ending = f"-{worker.process.pid}"
    return sum(one["name"].endswith(ending) for one in redis_client.client_list())


def test_a_hold_is_resolved_from_the_command_line_and_teaches(shop: Shop, redis_client: redis.Redis) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker:
        worker.await_ready()
        shop.topics.sell(shop.topics.transaction("t", amount_minor=40_000))
        assert shop.topics.verdict("t")["decision"] == "hold"
        done = shop.command("verdicts", "resolve", "t", "--outcome", "approved", "--actor", "ann")
        assert done.returncode == 0, done.stderr
        assert " t r2 allow " in done.stdout
        second = shop.command("verdicts", "resolve", "t", "--outcome", "rejected", "--wait", "3")
        assert second.returncode == 1
        # One for windows, one for what else the answering thread asks, and two at most that all other threads share.
        assert 3 <= connections_of(worker, redis_client) <= 4
        assert worker.terminate() == 0
    assert [v["decision"] for v in shop.topics.verdicts()["t"]] == ["hold", "allow"]
    labels = [json.loads(value) for _, value in shop.topics.read(LABELS) if value]
    assert [(label["fraud"], label["source"]) for label in labels] == [(False, "analyst")]
    assert [json.loads(value)["reason"] for _, value in shop.topics.read(DEAD_LETTERS) if value] == ["conflict"]


def test_a_hold_that_nobody_resolves_expires_once_though_two_workers_watch(shop: Shop) -> None:
    # So much time that no answer is degraded, which would be one more revision.
    shop.configure("scoring", hold={"expires_after_s": 1.0, "on_expiry": "block"}, budget_ms=30_000)
    shop.topics.publish_model()
    with shop.worker() as first, shop.worker() as second:
        first.await_ready()
        second.await_ready()
        shop.topics.sell(shop.topics.transaction("t", amount_minor=40_000))
        assert shop.topics.verdict("t")["decision"] == "hold"
        expired = shop.topics.verdict("t", revision=2)
        assert (expired["decision"], expired["outcome"]) == ("block", "expired")
        assert first.terminate() == 0
        assert second.terminate() == 0
    assert {v["revision"] for v in shop.topics.verdicts()["t"]} == {1, 2}


def test_verdicts_can_be_watched(shop: Shop) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker:
        shop.topics.sell(*(shop.topics.transaction(f"t{n}") for n in range(3)))
        shop.topics.sell(shop.topics.transaction("big", amount_minor=40_000))
        for name in ("t0", "t1", "t2", "big"):  # which may stand in four partitions
            shop.topics.verdict(name)
        assert worker.terminate() == 0
    shown = shop.command("verdicts", "tail", "--from-beginning", "-n", "4")
    assert shown.returncode == 0, shown.stderr
    assert sum(" allow " in line for line in shown.stdout.splitlines()) == 3
    held = shop.command("verdicts", "tail", "--from-beginning", "-n", "1", "--decision", "hold", "--json")
    assert json.loads(held.stdout)["transaction_id"] == "big"


def test_a_dead_letter_is_shown_and_retried_after_its_cause_was_mended(shop: Shop) -> None:
    shop.topics.publish_model()
    shop.topics.sell(shop.topics.transaction("t", currency="CHF"))
    with shop.worker() as worker:
        until(lambda: shop.topics.read(DEAD_LETTERS), "the dead letter")
        assert worker.terminate() == 0
    listed = shop.command("dead-letters", "list", "--json")
    letter = json.loads(listed.stdout)
    assert (letter["reason"], letter["key"]) == ("currency_unknown", "t")
    shown = shop.command("dead-letters", "show", letter["letter"])
    assert "no exchange rate is configured" in shown.stdout
    document = yaml.safe_load(shop.file.read_text())
    shop.file.write_text(yaml.safe_dump(document | {"rates": {"CHF": 1.05}}))
    retried = shop.command("dead-letters", "retry", letter["letter"])
    assert (retried.returncode, retried.stdout) == (0, "1 sent again, 0 not\n"), retried.stderr
    assert "0 dead letters" in shop.command("dead-letters", "list").stdout
    with shop.worker() as worker:
        assert shop.topics.verdict("t")["decision"] == "allow"
        assert worker.terminate() == 0


def test_garbage_on_the_topic_becomes_dead_letters_and_scoring_goes_on(shop: Shop) -> None:
    shop.topics.publish_model()
    garbage = [b"{", b"\xff\xfe", b"", b"[]", b"[" * 60_000, b'{"transaction_id":"x"}', b"x" * 200_000]
    shop.topics.send(TRANSACTIONS, [(b"bad%d" % n, value) for n, value in enumerate(garbage)])
    shop.topics.send(TRANSACTIONS, [(b"withdrawn", None)])
    with shop.worker() as worker:
        shop.topics.sell(shop.topics.transaction("t"))
        shop.topics.verdict("t")
        until(lambda: len(shop.topics.read(DEAD_LETTERS)) >= len(garbage), "dead letters")
        worker.kill()
    (killed,) = read_processes(shop.settings)
    assert not killed.status.stopped
    assert judge_state(killed, killed.at + timedelta(seconds=5 * killed.status.every_s)) == "gone"
    assert {key for key, _ in shop.topics.read(DEAD_LETTERS)} == {b"bad%d" % n for n in range(len(garbage))}


def test_a_listed_customer_is_blocked_until_the_entry_goes(shop: Shop) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker:
        worker.await_ready()
        added = shop.command("lists", "add", "deny", "--entity", "customer", "--value", "mallory", "--expires", "1h")
        assert added.returncode == 0, added.stderr
        assert "mallory" in shop.command("lists", "show", "deny").stdout
        shop.topics.sell(shop.topics.transaction("t1", customer="mallory"))
        assert shop.topics.verdict("t1")["decision"] == "block"
        assert shop.command("lists", "remove", "--entity", "customer", "--value", "mallory").returncode == 0
        assert shop.command("lists", "remove", "--entity", "customer", "--value", "mallory").returncode == 1
        shop.topics.sell(shop.topics.transaction("t2", customer="mallory"))
        assert shop.topics.verdict("t2")["decision"] == "allow"
        assert worker.terminate() == 0


def test_a_forgotten_customer_leaves_no_record_and_no_window(shop: Shop, redis_client: redis.Redis) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker:
        shop.topics.sell(*(shop.topics.transaction(f"t{n}", customer="ann") for n in range(2)))
        shop.topics.sell(shop.topics.transaction("other", customer="bob"))
        for identity in ("t0", "t1", "other"):
            shop.topics.verdict(identity)
        assert worker.terminate() == 0

    def windows(name: str) -> int:
        return sum(name.encode() in key for key in redis_client.scan_iter(f"*{shop.settings.retailer}*", count=1000))

    assert (windows("ann"), windows("bob")) == (1, 1)
    arguments = ("forget", "--entity", "customer", "--value", "ann")
    counted = shop.command(*arguments, "--dry-run")
    assert counted.returncode == 0, counted.stderr
    assert "transactions  2 records found" in counted.stdout
    assert windows("ann") == 1
    assert shop.command(*arguments).returncode == 0
    assert (windows("ann"), windows("bob")) == (0, 1)
    for topic in (TRANSACTIONS, VERDICTS, FEATURES):
        newest = dict(shop.topics.read(topic))
        assert newest[b"t0"] is newest[b"t1"] is None
        assert newest[b"other"] is not None
    again = shop.command(*arguments)
    assert "transactions  0 records withdrawn" in again.stdout
    with shop.worker() as worker:  # tombstones do not disturb scoring
        shop.topics.sell(shop.topics.transaction("later"))
        shop.topics.verdict("later")
        assert worker.terminate() == 0


def test_a_worker_without_kafka_says_so_and_fails(shop: Shop) -> None:
    shop.configure("kafka", bootstrap_servers="127.0.0.1:9", request_timeout_s=2)
    done = shop.command("score")
    assert done.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:9" in done.stderr


def test_missing_topics_are_named_with_the_command_that_makes_them(shop: Shop) -> None:
    shop.configure("log", level="ERROR")
    document = yaml.safe_load(shop.file.read_text())
    shop.file.write_text(yaml.safe_dump(document | {"retailer": "nobody-made-these"}))
    done = shop.command("score")
    assert done.returncode == 2
    assert "nobody-made-these.transactions.v1 does not exist: `tillguard topics" in done.stderr


def test_no_secret_reaches_the_log(shop: Shop) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker:
        worker.await_ready()
        assert worker.terminate() == 0
        text = worker.log.read_text()
    document = yaml.safe_load(shop.file.read_text())
    assert document["redis"]["password"] not in text
    assert document["connectors"]["token_keys"]["k1"] not in text


def test_a_damaged_package_is_refused_and_the_old_model_serves_on(shop: Shop) -> None:
    shop.topics.publish_model("tiny-1")
    with shop.worker() as worker:
        worker.await_ready()
        shop.topics.send(MODELS, [(b"serving", b'{"type":"promotion"}'), (b"x/0", b"\x00")])
        until(lambda: "packages_refused_total" in worker.page("/metrics")[1], "the refusal")
        shop.topics.sell(shop.topics.transaction("t"))
        assert shop.topics.verdict("t")["model_version"] == "tiny-1"
        assert worker.terminate() == 0


def test_a_connector_s_dead_letter_is_retried_by_reading_the_row_again(shop: Shop) -> None:
    rows = shop.folder / "orders.csv"
    rows.write_text("id,placed_at,total\n1,2026-04-01T10:00:00,5.00\n2,2026-04-01T11:00:00,lots\n")
    connectors = shop.folder / "connectors"
    connectors.mkdir()
    (connectors / "orders.yaml").write_text(
        f"name: orders\nsource: {{kind: file, path: {rows}}}\ntransactions:\n  key: id\n  fields:\n"
        "    transaction_id: id\n    event_time: placed_at\n    amount: total\n    currency: {constant: EUR}\n"
    )
    ran = shop.command("connector", "run", str(connectors / "orders.yaml"), "--until-caught-up")
    assert ran.returncode == 0, ran.stderr
    letter = json.loads(shop.command("dead-letters", "list", "--json").stdout)
    assert (letter["part"], letter["reason"], letter["key"]) == ("connector:orders", "amount_invalid", "2")
    still = shop.command("dead-letters", "retry", "--all", "--connectors", str(connectors))
    assert still.returncode == 1
    assert "still refused: amount_invalid" in still.stderr
    rows.write_text(rows.read_text().replace("lots", "7.00"))
    retried = shop.command("dead-letters", "retry", "--all", "--connectors", str(connectors))
    assert (retried.returncode, retried.stdout) == (0, "1 sent again, 0 not\n"), retried.stderr
    assert {key for key, _ in shop.topics.read(TRANSACTIONS)} == {b"1", b"2"}
    assert "0 dead letters" in shop.command("dead-letters", "list").stdout
