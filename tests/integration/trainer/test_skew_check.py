"""`tillguard drift --replay`: serving against a replay from the topics, and what it says where serving lost or never had something."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import redis

from contract.clock import SystemClock
from contract.events import Transaction
from contract.features import FeatureRecord, find_plain_columns, is_plain
from contract.risk import KnownOutcome
from contract.topics import FEATURES, OUTCOMES
from support.live_worker import Shop, until
from support.workbench import ORIGIN
from tillguard.history import skew

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
NOW = SystemClock().now().replace(microsecond=0)


def sales(
    retailer: str, chance: random.Random, count: int, prefix: str, *, begin: datetime, step_s: float = 1
) -> list[Transaction]:
    """`count` payments of few entities, `step_s` apart."""
    return [
        Transaction(
            transaction_id=f"{prefix}{number}", retailer=retailer, event_time=begin + timedelta(seconds=step_s * number),
            ingest_time=NOW, amount_minor=chance.randrange(100, 20_000), currency="EUR", origin=ORIGIN,
            customer=f"c{chance.randrange(20)}", card=f"k1.{chance.randrange(25):024d}", terminal=f"t{chance.randrange(6)}",
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture
def shop(retailer: Any, tmp_path: Path) -> Shop:
    found = Shop(retailer, tmp_path)
    found.topics.publish_model()
    return found


def write(file: Path, rows: list[Transaction], frauds: set[str]) -> Path:
    file.write_bytes(
        b"".join(
            msgspec.json.encode(row)[:-1]
            + b',"fraud":'
            + (b"true" if row.transaction_id in frauds else b"false")
            + b"}\n"
            for row in rows
        )
    )
    return file


def serve(shop: Shop, *rows: Transaction) -> None:
    """Sells in order: a worker takes what stands on several partitions in any."""
    for at in range(0, len(rows), 40):
        some = rows[at : at + 40]
        shop.topics.sell(*some)
        wanted = {row.transaction_id for row in some}
        until(lambda wanted=wanted: wanted <= shop.topics.verdicts().keys(), "verdicts")  # type: ignore[misc]


def known(shop: Shop, transaction_id: str, late: timedelta) -> None:
    """A fraud that became known `late` ago, and reaches the workers now."""
    decoder = msgspec.json.Decoder(FeatureRecord)
    seen = next(
        one
        for one in (decoder.decode(value or b"") for _, value in shop.topics.read(FEATURES))
        if one.transaction_id == transaction_id
    )
    values = np.frombuffer(seen.values, "<f4")
    outcome = KnownOutcome(
        transaction_id=transaction_id, retailer=seen.retailer, event_time=seen.event_time, entities=seen.entities,
        fraud=True, plain=is_plain(*values[list(find_plain_columns())].tolist()), label_time=SystemClock().now() - late,
    )  # fmt: skip
    shop.topics.send(OUTCOMES, [(transaction_id.encode(), msgspec.json.encode(outcome))])
    with redis.Redis(**shop.settings.redis.to_redis_py()) as client:
        key = f"{{{shop.settings.retailer}}}live/outcome/{transaction_id}"
        until(lambda: client.get(key), "an outcome that was applied")


def check(shop: Shop, newest: int, **more: Any) -> skew.Checked:
    return skew.check(shop.settings, newest, now=SystemClock().now(), **more)


def test_serving_equals_a_replay_and_what_came_late_or_was_lost_is_told(
    shop: Shop, chance: random.Random, tmp_path: Path
) -> None:
    name = shop.settings.retailer
    past = sales(name, chance, 600, "past-", begin=NOW - timedelta(days=40), step_s=5_000)
    first = sales(name, chance, 80, "first-", begin=NOW - timedelta(seconds=90))
    file = write(tmp_path / "past.jsonl", past, {row.transaction_id for row in past if chance.random() < 0.2})
    ran = shop.command("history", "load", "--history", str(file))
    assert "600 transactions new" in ran.stdout, ran.stdout + ran.stderr
    with shop.worker() as worker:
        worker.await_ready()
        serve(shop, *first)
        with_file = check(shop, 1_000, file=file)
        assert (with_file.skew.compared, with_file.skew.different) == (80, 0), with_file.skew
        assert with_file.context == 600
        without = check(shop, 1_000).skew
        assert without.different > 40
        assert set(without.causes) <= {"windows_longer", "windows"}
        serve(shop, *past)
        all_of_it = check(shop, 10_000)
        assert (all_of_it.skew.compared, all_of_it.context) == (680, 0)
        assert all_of_it.skew.different == 0, all_of_it.skew
        known(shop, "first-0", timedelta(seconds=0))
        second = sales(name, chance, 80, "second-", begin=SystemClock().now() + timedelta(seconds=1))
        serve(shop, *second[:40])
        assert check(shop, 40).skew.different == 0
        known(shop, "first-1", timedelta(seconds=300))
        late = check(shop, 1_000).skew
        assert 0 < late.different < 80
        assert set(late.causes) <= {"frauds_later", "frauds"}
        ran = shop.command("drift", "--replay", "1000", "--json")
        assert ran.returncode == 1
        assert json.loads(ran.stdout)["different"] == late.different
        with redis.Redis(**shop.settings.redis.to_redis_py()) as client:
            client.delete(*client.scan_iter(match=f"{{{name}}}live/terminal/*"))
        serve(shop, *second[40:])
    lost = check(shop, 40).skew
    assert lost.causes.keys() & {"windows_shorter", "windows"}
    assert any(found.name == "terminal_count_30d" and found.transactions == 40 for found in lost.features)
