"""What a new model may do in a real worker: challenge, be swapped in, be killed half-way, be bad; and what it may not."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.alarms import Alarm
from contract.features import get_feature_names
from contract.models import ShadowScore
from contract.package import build_package, read_package, to_messages
from contract.topics import ALARMS, FEATURES, MODELS, SHADOW_SCORES, VERDICTS
from scoring.decision.shares import CANARY, is_in_share
from scoring.models.cache import SUFFIX
from support.live_worker import LiveWorker, Shop, until
from support.tiny_model import graph, tiny_challenge, tiny_manifest, tiny_messages, tiny_package

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
NO_BREAKER = {"per_minute_max": "off", "share_max": "off"}


@pytest.fixture
def shop(retailer: Any, tmp_path: Path) -> Shop:
    return Shop(retailer, tmp_path)


@pytest.fixture(params=["librdkafka", "agent"])
def feed(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def shadow_scores(shop: Shop) -> dict[str, ShadowScore]:
    found = [msgspec.json.decode(value, type=ShadowScore) for _, value in shop.topics.read(SHADOW_SCORES) if value]
    return {one.transaction_id: one for one in found}


def full_answers(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """By transaction, in the order in which they stand: on a busy machine a degraded one comes before."""
    return {name: [one for one in given if one["revision"] == 1] for name, given in shop.topics.verdicts().items()}


def verdict_bytes(shop: Shop) -> dict[bytes, set[bytes]]:
    """Every full answer that was ever given, by transaction: on a busy machine degraded ones come as well."""
    found: dict[bytes, set[bytes]] = {}
    for key, value in shop.topics.read(VERDICTS):
        if not json.loads(value or b"")["degraded"]:
            found.setdefault(key or b"", set()).add(value or b"")
    return found


def large_package(shop: Shop, version: str) -> bytes:
    """Several chunks long; every score is one half."""
    wide = np.zeros((len(get_feature_names()), 600), dtype=np.float32)
    onnx = graph([(wide, np.zeros(600, np.float32)), (np.zeros((600, 1), np.float32), np.zeros(1, np.float32))])
    return build_package(tiny_manifest(onnx, version, shop.settings.retailer), onnx)


def test_a_canary_answers_its_customers_and_scores_the_others_in_shadow(shop: Shop, feed: str) -> None:
    shop.configure("scoring", breaker=NO_BREAKER)
    shop.topics.publish_model("tiny-1")
    new = tiny_package("new", shop.settings.retailer, bias=4.0)
    with shop.worker("--feed", feed) as worker:
        worker.await_ready()
        shop.topics.send(MODELS, [*to_messages(new), tiny_challenge(new, "new", share=0.4)])
        until(lambda: 'model_version="new"' in worker.page("/metrics")[1], "the challenger")
        sold = [shop.topics.transaction(f"t{number}", customer=f"c-{number}") for number in range(40)]
        shop.topics.sell(*sold)
        verdicts = {one.transaction_id: shop.topics.verdict(one.transaction_id) for one in sold}
        chosen = {one.transaction_id for one in sold if is_in_share(one.customer or "", CANARY, 0.4)}
        assert 0 < len(chosen) < 40
        for identity, verdict in verdicts.items():
            expected = ("new", "block") if identity in chosen else ("tiny-1", "allow")
            assert (verdict["model_version"], verdict["decision"]) == expected
        found = until(
            lambda: known if len(known := shadow_scores(shop)) == 40 - len(chosen) else None, "the others' scores"
        )
        assert not chosen & found.keys()
        for identity, one in found.items():
            assert (one.model_version, one.decision) == ("new", "block")
            assert (one.champion_version, one.champion_decision) == ("tiny-1", "allow")
            assert one.champion_score == verdicts[identity]["score"]
        shop.topics.send(MODELS, [tiny_challenge(None, None, after_s=2)])
        until(
            lambda: '"no_challenger"' in worker.log.read_text() or "no_challenger" in worker.log.read_text(), "its end"
        )
        shop.topics.sell(*sold)
        until(lambda: all(len(given) == 2 for given in full_answers(shop).values()), "the answers again")
        assert worker.terminate() == 0
    for identity, given in full_answers(shop).items():
        assert {(v["model_version"], v["decision"], v["score"]) for v in given} == {
            (verdicts[identity]["model_version"], verdicts[identity]["decision"], verdicts[identity]["score"])
        }


def breaker_alarms(shop: Shop) -> list[Alarm]:
    """Not those of a state that holds less than the model expects, as a new shop's does."""
    alarms = [msgspec.json.decode(value, type=Alarm) for _, value in shop.topics.read(ALARMS) if value]
    return [alarm for alarm in alarms if alarm.kind.startswith("breaker")]


def test_a_bad_model_cannot_close_the_shop_and_one_alarm_is_raised(shop: Shop) -> None:
    """Two workers share the limit. What was told is told again to the bit by a worker that knows nothing of it."""
    shop.configure("scoring", breaker={"per_minute_max": 5, "share_max": "off"})
    shop.topics.publish_model("bad", bias=4.0)
    sold = [shop.topics.transaction(f"t{number}") for number in range(40)]
    with shop.worker() as first, shop.worker() as second:
        first.await_ready()
        second.await_ready()
        shop.topics.sell(*sold)
        verdicts = [shop.topics.verdict(one.transaction_id) for one in sold]
        assert Counter(v["decision"] for v in verdicts) == {"block": 5, "flag": 35}
        flagged = [v for v in verdicts if v["decision"] == "flag"]
        assert {v["reasons"][0]["code"] for v in flagged} == {"policy:breaker"}
        open_now = f'tillguard_scoring_breaker_open_info{{retailer="{shop.settings.retailer}"}} 1.0'
        until(lambda: all(open_now in worker.page("/metrics")[1] for worker in (first, second)), "the open breaker")
        until(lambda: breaker_alarms(shop), "the alarm")
        first.kill()
        assert second.terminate() == 0
    (raised,) = breaker_alarms(shop)
    assert (raised.severity, raised.values["stops"]) == ("critical", 5)
    before = verdict_bytes(shop)
    shop.configure("scoring", breaker=NO_BREAKER)
    with shop.worker() as third:
        third.await_ready()
        shop.topics.sell(*sold)
        until(lambda: all(len(given) >= 2 for given in shop.topics.verdicts().values()), "the answers again")
        assert third.terminate() == 0
    assert verdict_bytes(shop) == before
    assert before.keys() == {one.transaction_id.encode() for one in sold}
    assert all(len(given) == 1 for given in before.values()), [given for given in before.values() if len(given) > 1]
    assert len(breaker_alarms(shop)) == 1


def test_a_control_group_goes_through_and_is_marked_for_the_trainer(shop: Shop) -> None:
    shop.configure("scoring", control_share=1.0, control_amount_max=60.0)
    shop.topics.publish_model("bad", bias=4.0)
    with shop.worker() as worker:
        worker.await_ready()
        shop.topics.sell(shop.topics.transaction("small"), shop.topics.transaction("large", amount_minor=7_000))
        decided = {identity: shop.topics.verdict(identity) for identity in ("small", "large")}
        features = until(lambda: found if len(found := shop.topics.read(FEATURES)) == 2 else None, "the features")
        assert worker.terminate() == 0
    assert {identity: v["decision"] for identity, v in decided.items()} == {"small": "flag", "large": "block"}
    assert decided["small"]["reasons"][0]["code"] == "policy:control"
    assert {key: json.loads(value or b"")["control"] for key, value in features} == {b"small": True, b"large": False}


def test_a_worker_killed_amid_a_swap_serves_the_previous_model_and_no_half_one(shop: Shop) -> None:
    """The new model's promotion is there, its package is not, or only half on disk."""
    shop.topics.publish_model("tiny-1")
    package = large_package(shop, "large-1")
    *chunks, promotion = tiny_messages(package, "large-1")
    assert len(chunks) > 1
    models = shop.settings.scoring.model_directory
    with shop.worker() as worker:
        worker.await_ready()
        shop.topics.send(MODELS, [*chunks[:-1], promotion])
        until(lambda: "promotion_waits_for_package" in worker.log.read_text(), "the waiting promotion")
        worker.kill()
    (models / f"large-1{SUFFIX}").write_bytes(package[: len(package) // 2])
    (models / "large-1.package.9999.part").write_bytes(package[:100])
    with shop.worker() as worker:
        worker.await_ready()
        shop.topics.sell(shop.topics.transaction("t"))
        assert shop.topics.verdict("t")["model_version"] == "tiny-1"
        shop.topics.send(MODELS, chunks[-1:])
        until(lambda: 'model_version="large-1"' in worker.page("/metrics")[1], "the swap")
        shop.topics.sell(shop.topics.transaction("u", amount_minor=6_000))
        assert (shop.topics.verdict("u")["model_version"], shop.topics.verdict("u")["score"]) == ("large-1", 0.5)
        assert worker.terminate() == 0
    assert (models / f"large-1{SUFFIX}").read_bytes() == package


def test_wherever_a_kill_hits_a_swap_the_next_worker_serves_one_whole_model(shop: Shop) -> None:
    shop.topics.publish_model("tiny-1")
    models = shop.settings.scoring.model_directory
    for number in range(2):
        with shop.worker() as worker:
            worker.await_ready()
            shop.topics.send(MODELS, tiny_messages(large_package(shop, f"large-{number}"), f"large-{number}"))
            worker.kill()  # while it reads, checks, writes or swaps
        for file in models.glob(f"*{SUFFIX}"):
            assert read_package(file.read_bytes()).manifest.model_version == file.name.removesuffix(SUFFIX)
    with shop.worker() as worker:
        assert_serves(shop, worker, "large-1")
        assert worker.terminate() == 0


def assert_serves(shop: Shop, worker: LiveWorker, version: str) -> None:
    worker.await_ready()
    shop.topics.sell(shop.topics.transaction("after"))
    assert shop.topics.verdict("after")["model_version"] == version
