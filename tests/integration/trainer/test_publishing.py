"""Publishing on a real Kafka, also by a process that is killed."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.errors import TransientError
from contract.metrics import Metrics
from contract.models import ModelChunk, ModelMessage
from contract.topics import MODELS
from scoring.models.cache import ModelCache
from support.live_worker import Topics
from support.tiny_model import NOW, tiny_package
from trainer.learning.publication import promote_model, publish_model
from trainer.registry.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
REPOSITORY = Path(__file__).parents[3]
PUBLISHING = """
import sys
from contract.models import ModelPromotion
from contract.package import hash_package
from contract.settings import KafkaSettings
from support.tiny_model import NOW, tiny_package
from runtime.kafka.producer import SharedProducer
from trainer.learning.package_writer import publish
padding = {f"p{number}": "x" * 1_000 for number in range(900)}
with SharedProducer(KafkaSettings(bootstrap_servers=sys.argv[1]), "test") as outlet:
    for number in range(1_000):
        version = f"m-{sys.argv[3]}-{number}"
        package = tiny_package(version, parameters=padding)
        publish(outlet, sys.argv[2], package, ModelPromotion(model_version=version, package_sha256=hash_package(package),
                promoted_at=NOW, promoted_by="test"))
        print(version, flush=True)
"""


@pytest.fixture
def registry(retailer: Any) -> Any:
    trainer = retailer.settings.trainer
    opened = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    yield opened
    opened.close()


def test_a_promoted_model_is_served_by_whoever_reads_the_topic(
    retailer: Any, registry: Registry, tmp_path: Path
) -> None:
    entry = registry.add(tiny_package("m-1", retailer=retailer.name))
    promote_model(retailer.settings, registry, entry, by="ann", now=NOW)
    cache = ModelCache(tmp_path / "models", retailer.name, Metrics())
    for _, value in Topics(retailer.settings).read(MODELS):
        cache.offer(value)
    assert cache.serving is not None
    assert cache.serving.version == "m-1"
    assert registry.find_serving(retailer.name) == entry


def test_a_model_that_is_published_again_can_be_had_and_does_not_serve(
    retailer: Any, registry: Registry, tmp_path: Path
) -> None:
    entry = registry.add(tiny_package("m-1", retailer=retailer.name))
    publish_model(retailer.settings, registry, entry)
    cache = ModelCache(tmp_path / "models", retailer.name, Metrics())
    for _, value in Topics(retailer.settings).read(MODELS):
        cache.offer(value)
    assert cache.get("m-1") is not None
    assert cache.serving is None
    assert registry.find_serving(retailer.name) is None


def test_a_broker_that_is_not_there_leaves_the_promotion_unconfirmed(retailer: Any, registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1", retailer=retailer.name))
    kafka = retailer.settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "request_timeout_s": 1.0})
    with pytest.raises(TransientError):
        promote_model(retailer.settings.model_copy(update={"kafka": kafka}), registry, entry, by="ann", now=NOW)
    assert registry.find_serving(retailer.name) is None


def test_no_kill_lets_a_promotion_stand_without_its_whole_package(
    stack: Any, retailer: Any, chance: random.Random
) -> None:
    topic = MODELS.name(retailer.name)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    for run in range(3):
        command = [sys.executable, "-c", PUBLISHING, stack.endpoints["kafka"].uri, topic, str(run)]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == f"m-{run}-0\n"
        deadline_s = time.monotonic() + chance.uniform(0.02, 0.6)
        while time.monotonic() < deadline_s:
            assert child.poll() is None
        child.kill()
        child.communicate()
    whole: dict[str, set[int]] = {}
    promotions = 0
    for _, value in Topics(retailer.settings).read(MODELS):
        assert value is not None
        message = msgspec.json.decode(value, type=ModelMessage)
        if isinstance(message, ModelChunk):
            whole.setdefault(message.model_version, set(range(message.count))).discard(message.index)
        else:
            promotions += 1
            assert whole[message.model_version] == set()
    assert promotions >= 3
