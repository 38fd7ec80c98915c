import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from contract.errors import ConfigurationError, TransientError
from contract.federation.settings import FederationSettings
from contract.settings import Settings, parse
from contract.topics import TOPICS
from embedded import retailers
from federation.transports.kafka_logs import build_topic_name
from federation.transports.ports import LOGS
from runtime.kafka import topics
from tillguard.federation.topics import ensure as ensure_federation

pytestmark = pytest.mark.integration


def settings(name: str, servers: str, **sections: Any) -> Settings:
    kafka = {"bootstrap_servers": servers, "partitions": 2} | sections.pop("kafka", {})
    return parse({"retailer": name, "kafka": kafka, **sections}, where="test")


@pytest.fixture
def servers(stack: Any) -> str:
    return str(stack.endpoints["kafka"].uri)


def configuration(servers: str, topic: str) -> dict[str, str]:
    client = KafkaAdminClient(bootstrap_servers=servers)
    try:
        found = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])["topic"][topic]
        return {key: entry["value"] for key, entry in found.items()}
    finally:
        client.close()


def test_every_topic_is_made_once_and_a_second_time_changes_nothing(servers: str, retailer_name: str) -> None:
    wanted = settings(retailer_name, servers)
    assert topics.ensure(wanted) == [f"{topic.name(retailer_name)}: created" for topic in TOPICS]
    assert topics.ensure(wanted) == []


def test_configuration_that_drifted_is_corrected_and_partitions_grow(servers: str, retailer_name: str) -> None:
    topics.ensure(settings(retailer_name, servers))
    changes = topics.ensure(settings(retailer_name, servers, kafka={"partitions": 3}, retention={"verdicts_days": 9}))
    assert f"{retailer_name}.labels.v1: 2 partitions became 3" in changes
    assert f"{retailer_name}.verdicts.v1: retention.ms=777600000" in changes
    assert configuration(servers, f"{retailer_name}.verdicts.v1")["retention.ms"] == "777600000"


def test_fewer_partitions_are_refused_by_name(servers: str, retailer_name: str) -> None:
    topics.ensure(settings(retailer_name, servers))
    with pytest.raises(
        ConfigurationError, match=rf"{retailer_name}\.transactions\.v1 has 2 partitions, settings say 1"
    ):
        topics.ensure(settings(retailer_name, servers, kafka={"partitions": 1}))


def test_more_copies_than_brokers_are_refused_with_the_broker_s_reason(servers: str, retailer_name: str) -> None:
    with pytest.raises(ConfigurationError, match="InvalidReplicationFactor"):
        topics.ensure(settings(retailer_name, servers, kafka={"replication_factor": 3}))


def test_a_broker_that_is_not_there_is_a_transient_error(retailer_name: str) -> None:
    wanted = settings(retailer_name, "127.0.0.1:1", kafka={"bootstrap_servers": "127.0.0.1:1", "request_timeout_s": 1})
    with pytest.raises(TransientError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        topics.ensure(wanted)


def test_a_federation_s_topics_are_kept_right_by_the_same_means(servers: str, retailer_name: str) -> None:
    federation = FederationSettings(name=retailer_name, bootstrap_servers=servers)
    names = [build_topic_name(retailer_name, log) for log in LOGS]
    assert ensure_federation(federation) == [f"{name}: created" for name in names]
    changed = federation.model_copy(update={"retention_days": 2.0})
    assert f"{names[0]}: retention.ms=172800000" in ensure_federation(changed)
    assert ensure_federation(changed) == []


def test_init_writes_settings_for_their_owner_and_keeps_them(stack: Any, retailer_name: str, tmp_path: Path) -> None:
    endpoints = {name: stack.endpoints[name] for name in ("kafka", "redis")}
    created, changes = retailers.create(retailer_name, "GBP", tmp_path, endpoints)
    file = tmp_path / "settings.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert created.base_currency == "GBP"
    assert len(changes) == 1 + len(TOPICS)
    before = file.read_bytes()
    assert retailers.create(retailer_name, "EUR", tmp_path, endpoints)[1] == []
    assert file.read_bytes() == before


def test_init_by_force_takes_new_addresses_and_keeps_the_token_keys(
    stack: Any, retailer_name: str, tmp_path: Path
) -> None:
    endpoints = {name: stack.endpoints[name] for name in ("kafka", "redis")}
    first, _ = retailers.create(retailer_name, "EUR", tmp_path, endpoints)
    file = tmp_path / "settings.yaml"
    document = yaml.safe_load(file.read_text())
    document["redis"]["port"] = 1
    document["connectors"]["token_keys"]["k2"] = "b" * 64
    document["connectors"] |= {"token_key_id": "k2", "token_previous_key_id": "k1"}
    file.write_text(yaml.safe_dump(document))
    _, told = retailers.create(retailer_name, "EUR", tmp_path, endpoints)
    assert ["redis.port is 1" in line for line in told] == [True]
    second, _ = retailers.create(retailer_name, "EUR", tmp_path, endpoints, force=True)
    assert second.redis.port == endpoints["redis"].port
    assert second.connectors.token_keys["k1"] == first.connectors.token_keys["k1"]
    assert (second.connectors.token_key_id, second.connectors.token_previous_key_id) == ("k2", "k1")


def test_the_command_needs_a_running_stack_and_then_says_what_comes_next(
    stack: Any, retailer_name: str, tmp_path: Path
) -> None:
    refused = _init(tmp_path, retailer_name)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "`tillguard up` starts the embedded stack" in refused.stderr
    done = _init(stack.folder, retailer_name)
    assert done.returncode == 0, done.stderr
    connectors = stack.folder / "retailers" / retailer_name / "connectors"
    assert f"tillguard connector new --output {connectors / 'orders.yaml'}" in done.stdout
    connectors.mkdir()
    (connectors / "shop.yaml").touch()
    assert "connector new" not in _init(stack.folder, retailer_name).stdout


def _init(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tillguard", "init", *arguments],
        env={**os.environ, "TILLGUARD_STATE": str(state)},
        capture_output=True,
        text=True,
        check=False,
    )
