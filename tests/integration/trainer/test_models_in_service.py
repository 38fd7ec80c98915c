"""Models in service, by the commands, on a real Kafka: rollback, pin, challengers, comparison, drift."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.alarms import Alarm
from contract.clock import SystemClock
from contract.errors import ConfigurationError, PinnedError
from contract.events import Label
from contract.features import FeatureRecord, get_feature_names, get_schema_hash
from contract.metrics import Metrics
from contract.models import ModelChallenge, ModelMessage, ShadowScore, Thresholds
from contract.topics import ALARMS, FEATURES, LABELS, MODELS, SHADOW_SCORES
from runtime.kafka.producer import SharedProducer
from runtime.kafka.topic_log import TopicReader
from scoring.models.cache import ModelCache
from support.forked import tillguard
from support.live_worker import ORIGIN, Topics
from support.tiny_model import tiny_package
from trainer.drift import profile
from trainer.learning import publication
from trainer.learning.training_attempt import learn
from trainer.registry.registry import Registry
from trainer.worker.drift_watch import DriftWatch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
NOW = datetime.now(UTC).replace(microsecond=0)
STEPS = Thresholds(flag=0.2, hold=0.5, block=0.8)


@pytest.fixture
def registry(retailer: Any) -> Any:
    trainer = retailer.settings.trainer
    opened = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    for number in (1, 2, 3):
        opened.add(tiny_package(f"m-{number}", retailer.name, bias=-float(number), thresholds=STEPS))
    yield opened
    opened.close()


def run(retailer: Any, *arguments: str) -> str:
    done = tillguard(*arguments, "--config", str(retailer.file))
    assert done.returncode == 0, done.stderr
    return done.stdout


def promote(retailer: Any, registry: Registry, version: str) -> None:
    entry = registry.find(retailer.name, version)
    assert entry is not None
    publication.promote_model(retailer.settings, registry, entry, by="ann", now=NOW)


def challenges(retailer: Any) -> list[ModelChallenge]:
    values = [value for key, value in Topics(retailer.settings).read(MODELS) if key == b"challenger" and value]
    decoded = [msgspec.json.decode(value, type=ModelMessage) for value in values]
    return [message for message in decoded if isinstance(message, ModelChallenge)]


def served_by_a_worker(retailer: Any, folder: Path) -> str | None:
    cache = ModelCache(folder, retailer.name, Metrics())
    for key, value in Topics(retailer.settings).read(MODELS):
        if key != b"challenger":
            cache.offer(value)
    return cache.serving.version if cache.serving is not None else None


def test_rollback_goes_back_step_by_step_and_a_pin_keeps_trainings_out(
    retailer: Any, registry: Registry, tmp_path: Path
) -> None:
    for version in ("m-1", "m-2", "m-3"):
        promote(retailer, registry, version)
    said = run(retailer, "models", "rollback", "--reason", "too many holds")
    assert "m-2 is in service again instead of m-3" in said
    assert served_by_a_worker(retailer, tmp_path / "one") == "m-2"
    assert "m-1 is pinned" in run(retailer, "models", "pin", "m-1", "--reason", "audit")
    assert served_by_a_worker(retailer, tmp_path / "two") == "m-1"
    trained = registry.find(retailer.name, "m-3")
    assert trained is not None
    with pytest.raises(PinnedError, match="audit"):
        publication.promote_model(retailer.settings, registry, trained, by="trainer", now=NOW, kind="trained")
    assert served_by_a_worker(retailer, tmp_path / "three") == "m-1"
    assert learn(retailer.settings).outcome == "pinned"
    listed = run(retailer, "models", "list")
    assert "(pin, " in listed
    assert ", pinned" in listed
    shown = json.loads(run(retailer, "models", "show", "m-2", "--json"))
    assert [(each["kind"], each["reason"]) for each in shown["promotions"]] == [
        ("rollback", "too many holds"),
        ("manual", ""),
    ]
    assert shown["serves"] is False
    assert shown["pin"]["reason"] == "audit"
    assert "Unpinned" in run(retailer, "models", "unpin")
    publication.promote_model(retailer.settings, registry, trained, by="trainer", now=NOW, kind="trained")
    assert served_by_a_worker(retailer, tmp_path / "four") == "m-3"


def test_without_an_earlier_model_a_rollback_says_so_and_sends_nothing(retailer: Any, registry: Registry) -> None:
    promote(retailer, registry, "m-1")
    before = len(Topics(retailer.settings).read(MODELS))
    with pytest.raises(ConfigurationError, match="no model served before"):
        publication.roll_back(retailer.settings, registry, by="ann", now=NOW)
    assert len(Topics(retailer.settings).read(MODELS)) == before


def test_a_challenger_is_published_behind_its_package_and_ends_when_withdrawn_or_promoted(
    retailer: Any, registry: Registry, tmp_path: Path
) -> None:
    promote(retailer, registry, "m-1")
    refused = tillguard("models", "shadow", "m-1", "--config", str(retailer.file))
    assert refused.returncode == 2
    assert "cannot challenge itself" in refused.stderr
    run(retailer, "models", "shadow", "m-2")
    keys = [key for key, _ in Topics(retailer.settings).read(MODELS)]
    assert keys[-2:] == [b"m-2/0", b"challenger"]
    run(retailer, "models", "canary", "m-3", "--share", "0.1")
    assert "canary, 10.0% of customers" in run(retailer, "models", "list")
    run(retailer, "models", "withdraw")
    sent = challenges(retailer)
    assert [(each.model_version, each.mode, each.share) for each in sent] == [
        ("m-2", "shadow", 0.0), ("m-3", "canary", 0.1), (None, "shadow", 0.0),
    ]  # fmt: skip
    run(retailer, "models", "shadow", "m-2")
    promote(retailer, registry, "m-2")
    assert challenges(retailer)[-1].model_version is None
    assert registry.find_challenger(retailer.name) is None
    assert served_by_a_worker(retailer, tmp_path) == "m-2"


def record(retailer: Any, number: int, **changes: Any) -> FeatureRecord:
    values = np.random.default_rng(number).exponential(3, len(get_feature_names())).astype("<f4")
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}", "retailer": retailer.name, "event_time": NOW - timedelta(minutes=number),
        "applied_seq": number + 1, "feature_schema": get_schema_hash(), "values": values.tobytes(), "score": 0.1,
        "model_version": "m-1", "rules_version": "r", "decision": "allow", "amount_base_minor": 10_000,
    }  # fmt: skip
    return FeatureRecord(**(fields | changes))


def send(retailer: Any, topic: Any, messages: list[Any]) -> None:
    keyed = [(one.transaction_id.encode(), msgspec.json.encode(one)) for one in messages]
    Topics(retailer.settings).send(topic, keyed)


def label(retailer: Any, number: int, *, fraud: bool) -> Label:
    return Label(
        transaction_id=f"t-{number}", retailer=retailer.name, fraud=fraud, source="chargeback", label_time=NOW,
        ingest_time=NOW, origin=ORIGIN,
    )  # fmt: skip


def shadow(retailer: Any, number: int, champion: float, challenger: float) -> ShadowScore:
    return ShadowScore(
        transaction_id=f"t-{number}", retailer=retailer.name, event_time=NOW - timedelta(minutes=number),
        model_version="m-2", score=challenger, decision="allow", champion_version="m-1", champion_score=champion,
        champion_decision="allow",
    )  # fmt: skip


def test_compare_joins_shadow_scores_feature_log_and_labels(retailer: Any, registry: Registry) -> None:
    promote(retailer, registry, "m-1")
    entry = registry.find(retailer.name, "m-2")
    assert entry is not None
    publication.challenge(retailer.settings, registry, entry, mode="shadow", by="ann", now=datetime.now(UTC))
    random = np.random.default_rng(3)
    frauds = set(range(0, 600, 12))
    decided = {5: "block", 7: "hold"}
    scores, records = [], []
    for number in range(600):
        noise = round(float(random.uniform(0, 0.3)), 6)
        scores.append(shadow(retailer, number, noise, 0.9 if number in frauds else noise))
        records.append(record(retailer, number, decision=decided.get(number, "allow"), control=number == 7))
    answered = [
        record(retailer, number, model_version="m-2", score=0.9 if number % 2 else 0.1) for number in range(700, 710)
    ]
    other = shadow(retailer, 800, 0.5, 0.5)
    send(retailer, SHADOW_SCORES, [*scores, scores[0], msgspec.structs.replace(other, champion_version="m-0")])
    send(retailer, FEATURES, [*records, *answered])
    send(retailer, LABELS, [label(retailer, number, fraud=True) for number in [*frauds, 701, 800]])
    found = json.loads(run(retailer, "models", "compare", "--json", "--label-delay-days", "0.125"))
    assert (found["champion"], found["challenger"]) == ("m-1", "m-2")
    assert (found["scored"], found["canary_answers"]) == (610, 10)
    # The newest 180 minutes are younger than the delay: their frauds are known, the others are left out, and 5 was blocked.
    newest = [number for number in range(180) if number not in frauds and number != 5]
    assert found["left_out"] == {"younger_than_label_delay": len(newest), "held_or_blocked_without_label": 1}
    assert (found["frauds"], found["labelled"]) == (50, 50)
    assert found["genuine"] == 600 - 50 - len(newest) - 1
    assert found["measures"]["average_precision"]["verdict"] == "better"
    assert found["measures"]["cost"]["challenger"] < found["measures"]["cost"]["champion"]
    page = run(retailer, "models", "compare", "--label-delay-days", "0.125")
    assert "The challenger is better in average precision and in cost" in page
    assert "As a canary it answered 10 of these itself" in page
    nothing = run(retailer, "models", "compare", "m-1", "m-3")
    assert "has scored nothing next to this champion yet" in nothing


def test_a_spread_reading_takes_its_share_of_every_stretch(retailer: Any) -> None:
    send(retailer, FEATURES, [record(retailer, number) for number in range(4_000)])
    reader = TopicReader(retailer.settings.kafka)
    topic = FEATURES.name(retailer.name)
    assert len(list(reader.sample(topic, 10_000))) == 4_000
    some = list(reader.sample(topic, 400))
    assert 400 <= len(some) < 550
    assert len({(one.partition, one.offset) for one in some}) == len(some)
    numbers = [int(one.key[2:]) for one in some if one.key]
    assert all(any(start <= number < start + 500 for number in numbers) for start in range(0, 4_000, 500))
    assert list(reader.sample(topic, 400, since=datetime.now(UTC) + timedelta(hours=1))) == []


def test_drift_is_measured_against_the_profile_and_raises_each_alarm_once(retailer: Any, registry: Registry) -> None:
    table = np.random.default_rng(5).exponential(3, (3_000, len(get_feature_names()))).astype(np.float32)
    known = profile.build(table, np.full(500, 0.1), STEPS)
    package = tiny_package("m-9", retailer.name, thresholds=STEPS)
    entry = registry.add(package, {profile.ATTACHMENT: profile.encode(known)})
    unknown = run(retailer, "drift")
    assert "no model serves" in unknown
    promote(retailer, registry, "m-1")
    assert "trained before profiles were kept" in run(retailer, "drift")
    publication.promote_model(retailer.settings, registry, entry, by="ann", now=NOW)
    moved = []
    for number in range(1_200):
        one = record(retailer, number, model_version="m-9", score=0.4)
        values = np.frombuffer(one.values, dtype="<f4").copy()
        values[0] *= 20
        moved.append(msgspec.structs.replace(one, values=values.tobytes()))
    send(retailer, FEATURES, moved)
    found = json.loads(run(retailer, "drift", "--json"))
    assert (found["rows"], found["scored"]) == (1_200, 1_200)
    assert found["features"][0]["name"] == "amount"
    assert {alarm["kind"] for alarm in found["alarms"]} >= {"drift_feature", "drift_score"}
    sent = [msgspec.json.decode(value, type=Alarm) for _, value in Topics(retailer.settings).read(ALARMS) if value]
    assert {alarm.alarm_id for alarm in sent} == {alarm["alarm_id"] for alarm in found["alarms"]}
    metrics = Metrics()
    with SharedProducer(retailer.settings.kafka, "test") as producer:
        watch = DriftWatch(retailer.settings, producer, metrics, SystemClock())  # as `trainer run` looks
        for _ in range(2):
            assert watch.look() is not None
    assert len(Topics(retailer.settings).read(ALARMS)) == 2 * len(sent)
    shown = metrics.registry.get_sample_value
    assert shown(
        "tillguard_trainer_drift_psi_ratio", {"retailer": retailer.name, "feature": "amount"}
    ) == pytest.approx(found["features"][0]["psi"])
    assert shown("tillguard_trainer_drift_score_change_ratio", {"retailer": retailer.name}) == pytest.approx(3.0)
    assert shown("tillguard_trainer_alarms_total", {"retailer": retailer.name, "kind": "drift_score"}) == 1
    assert "tillguard models rollback" in run(retailer, "drift", "--no-alarms")
    assert len(Topics(retailer.settings).read(ALARMS)) == 2 * len(sent)
