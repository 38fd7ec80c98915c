"""Makes a retailer's topics be what contract.topics and the settings say. Safe to run again, and next to running workers."""

import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from contract.errors import ConfigurationError, TransientError
from contract.settings import KafkaSettings, Settings
from contract.topics import TOPICS, Topic

DAY_MS = 86_400_000
POLL_S = 0.05
SEGMENT_MS_MAX = DAY_MS
"""Clean-up never touches the newest segment: an erased record is gone at most two days after its tombstone."""


def configuration(topic: Topic, settings: Settings) -> dict[str, str]:
    """The topic's configuration on the broker. Pure."""
    days = None if topic.retention_setting == "forever" else getattr(settings.retention, topic.retention_setting)
    policy = "delete" if not topic.compacted else "compact" if days is None else "compact,delete"
    wanted = {
        "cleanup.policy": policy,
        "retention.ms": "-1" if days is None else str(round(days * DAY_MS)),
        # The age of a record is the time it was written: event times may lie years back, and latency starts here.
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2" if settings.kafka.replication_factor > 2 else "1",
    }
    if topic.compacted:
        wanted |= {"segment.ms": str(SEGMENT_MS_MAX), "max.compaction.lag.ms": str(SEGMENT_MS_MAX)}
    return wanted


def partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions the topic has. Pure."""
    return settings.kafka.partitions if topic.scaled else 1


def ensure(settings: Settings, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Creates what is missing and corrects configuration that drifted; returns a sentence for each change, none if all stood.

    Blocks until every topic can be written. More partitions are added when the settings ask for more; fewer cannot be had
    and are refused. Raises TransientError when the brokers do not answer, ConfigurationError for what they refuse.
    """
    client = _connect(settings.kafka)
    try:
        changes = _create(client, settings, topics)
        changes += _add_partitions(client, settings, topics)
        return changes + _correct(client, settings, topics)
    except KafkaError as error:
        raise TransientError(f"topics of {settings.retailer}: {type(error).__name__}: {error}") from error
    finally:
        client.close()


def _connect(kafka: KafkaSettings) -> Any:
    # The client leaks its sockets when no broker answers, so a plain connection asks first.
    if not any(_accepts(server, kafka.request_timeout_s) for server in kafka.bootstrap_servers.split(",")):
        raise TransientError(f"no Kafka broker answers at {kafka.bootstrap_servers}")
    limit_ms = round(kafka.request_timeout_s * 1000)
    try:
        return KafkaAdminClient(**kafka.kafka_python(), request_timeout_ms=limit_ms, bootstrap_timeout_ms=limit_ms)
    except KafkaError as error:
        raise TransientError(f"no Kafka broker at {kafka.bootstrap_servers}: {type(error).__name__}") from error


def _accepts(server: str, timeout_s: float) -> bool:
    host, _, port = server.strip().rpartition(":")
    if not port.isdecimal():
        raise ConfigurationError([f"kafka.bootstrap_servers: {server.strip()!r} is not host:port"])
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except OSError:
        return False
    return True


def _create(client: Any, settings: Settings, topics: Sequence[Topic]) -> list[str]:
    present = set(client.list_topics())
    missing = [topic for topic in topics if topic.name(settings.retailer) not in present]
    if not missing:
        return []
    answer = client.create_topics(
        {
            topic.name(settings.retailer): {
                "num_partitions": partitions(topic, settings),
                "replication_factor": settings.kafka.replication_factor,
                "configs": configuration(topic, settings),
            }
            for topic in missing
        },
        raise_errors=False,
    )
    _refuse({entry["name"]: entry for entry in answer["topics"]}, passed=(TopicAlreadyExistsError.errno,))
    names = [topic.name(settings.retailer) for topic in missing]
    client.wait_for_topics(names)
    return [f"{name}: created" for name in names]


def _add_partitions(client: Any, settings: Settings, topics: Sequence[Topic]) -> list[str]:
    names = {topic.name(settings.retailer): partitions(topic, settings) for topic in topics}
    counts = {found["name"]: len(found["partitions"]) for found in client.describe_topics(list(names))}
    too_many = [name for name, wanted in names.items() if counts[name] > wanted]
    if too_many:
        raise ConfigurationError(
            [
                f"{name} has {counts[name]} partitions, settings say {names[name]}: Kafka cannot take partitions away"
                for name in too_many
            ]
        )
    due = {name: wanted for name, wanted in names.items() if counts[name] < wanted}
    if due:
        client.create_partitions(due)
        client.wait_for_topics(list(due))
    return [f"{name}: {counts[name]} partitions became {wanted}" for name, wanted in due.items()]


def _correct(client: Any, settings: Settings, topics: Sequence[Topic]) -> list[str]:
    wanted = {topic.name(settings.retailer): configuration(topic, settings) for topic in topics}
    due = _drift(client, wanted)
    if not due:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, changed) for name, changed in due.items()]
    answer = client.alter_configs(resources)["topic"]
    faults = [f"{name}: {result}" for name, result in answer.items() if result != "OK"]
    if faults:
        raise ConfigurationError(faults)
    # The controller has it; the broker that writes the topic follows a moment later.
    deadline = time.monotonic() + settings.kafka.request_timeout_s
    while _drift(client, wanted):
        if time.monotonic() > deadline:
            raise TransientError(
                f"topics of {settings.retailer}: the broker did not take over their configuration in time"
            )
        time.sleep(POLL_S)
    return [f"{name}: {', '.join(f'{key}={value}' for key, value in changed.items())}" for name, changed in due.items()]


def _drift(client: Any, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What each topic's configuration lacks, by topic; topics without drift are left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    found = client.describe_configs(resources, config_filter="all")["topic"]
    lacking = {
        name: {key: value for key, value in expected.items() if found[name].get(key, {}).get("value") != value}
        for name, expected in wanted.items()
    }
    return {name: changed for name, changed in lacking.items() if changed}


def _refuse(answers: Mapping[str, Mapping[str, Any]], *, passed: Sequence[int]) -> None:
    """Raises ConfigurationError that lists every topic the broker did not make."""
    faults = [
        f"{name}: {for_code(answer['error_code']).__name__}: {answer.get('error_message') or 'no reason given'}"
        for name, answer in answers.items()
        if answer["error_code"] not in (0, *passed)
    ]
    if faults:
        raise ConfigurationError(faults)
