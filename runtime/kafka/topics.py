"""Makes topics be what contract.topics and the settings say. Safe to run again, and next to running processes."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from contract.errors import ConfigurationError, TransientError
from contract.sections.kafka_connection import KafkaConnection
from contract.settings import Settings
from contract.topics import TOPICS, Topic
from runtime.kafka.brokers import require_broker

DAY_MS = 86_400_000
POLL_S = 0.05
SEGMENT_MS_MAX = DAY_MS
"""Clean-up never touches the newest segment: an erased record is gone at most two days after its tombstone."""


class WantedTopic(NamedTuple):
    """What a topic is to be."""

    partitions: int
    configuration: dict[str, str]


def build_configuration(topic: Topic, settings: Settings) -> dict[str, str]:
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


def count_partitions(topic: Topic, settings: Settings) -> int:
    """How many partitions the topic has. Pure."""
    return settings.kafka.partitions if topic.scaled else 1


def ensure(settings: Settings, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """As `ensure_topics`, for topics of a retailer."""
    kafka = settings.kafka
    wanted = {
        topic.name(settings.retailer): WantedTopic(
            count_partitions(topic, settings), build_configuration(topic, settings)
        )
        for topic in topics
    }
    return ensure_topics(kafka, settings.retailer, wanted)


def ensure_topics(connection: KafkaConnection, owner: str, wanted: Mapping[str, WantedTopic]) -> list[str]:
    """Creates what is missing and corrects configuration that drifted; returns a sentence for each change, none if all stood.

    Blocks until every topic can be written. More partitions are added when the settings ask for more; fewer cannot be had
    and are refused. Raises TransientError when the brokers do not answer, ConfigurationError for what they refuse.

    Args:
        connection: the cluster, and how many copies of a new topic it keeps.
        owner: the retailer or federation, for messages.
        wanted: by the topic's name.
    """
    require_broker(connection)
    limit_ms = round(connection.request_timeout_s * 1000)
    try:
        with closing(
            KafkaAdminClient(**connection.to_kafka_python(), request_timeout_ms=limit_ms, bootstrap_timeout_ms=limit_ms)
        ) as client:
            changes = _create(client, connection.replication_factor, wanted)
            changes += _add_partitions(client, wanted)
            return changes + _correct(client, owner, wanted, connection.request_timeout_s)
    except (KafkaError, OSError, RuntimeError) as error:
        raise TransientError(f"topics of {owner}: {type(error).__name__}: {error}") from None


def _create(client: Any, copies: int, wanted: Mapping[str, WantedTopic]) -> list[str]:
    present = set(client.list_topics())
    missing = [name for name in wanted if name not in present]
    if not missing:
        return []
    answer = client.create_topics(
        {
            name: {
                "num_partitions": wanted[name].partitions,
                "replication_factor": copies,
                "configs": wanted[name].configuration,
            }
            for name in missing
        },
        raise_errors=False,
    )
    _refuse({entry["name"]: entry for entry in answer["topics"]}, passed=(TopicAlreadyExistsError.errno,))
    client.wait_for_topics(missing)
    return [f"{name}: created" for name in missing]


def _add_partitions(client: Any, wanted: Mapping[str, WantedTopic]) -> list[str]:
    counts = {found["name"]: len(found["partitions"]) for found in client.describe_topics(list(wanted))}
    too_many = [name for name, topic in wanted.items() if counts[name] > topic.partitions]
    if too_many:
        raise ConfigurationError(
            [
                f"{name} has {counts[name]} partitions, settings say {wanted[name].partitions}: Kafka cannot take partitions away"
                for name in too_many
            ]
        )
    due = {name: topic.partitions for name, topic in wanted.items() if counts[name] < topic.partitions}
    if due:
        client.create_partitions(due)
        client.wait_for_topics(list(due))
    return [f"{name}: {counts[name]} partitions became {count}" for name, count in due.items()]


def _correct(client: Any, owner: str, wanted: Mapping[str, WantedTopic], timeout_s: float) -> list[str]:
    due = _drift(client, wanted)
    if not due:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, changed) for name, changed in due.items()]
    answer = client.alter_configs(resources)["topic"]
    faults = [f"{name}: {result}" for name, result in answer.items() if result != "OK"]
    if faults:
        raise ConfigurationError(faults)
    # The controller has it; the broker that writes the topic follows a moment later.
    deadline = time.monotonic() + timeout_s
    while _drift(client, wanted):
        if time.monotonic() > deadline:
            raise TransientError(f"topics of {owner}: the broker did not take over their configuration in time")
        time.sleep(POLL_S)
    return [f"{name}: {', '.join(f'{key}={value}' for key, value in changed.items())}" for name, changed in due.items()]


def _drift(client: Any, wanted: Mapping[str, WantedTopic]) -> dict[str, dict[str, str]]:
    """What each topic's configuration lacks, by topic; topics without drift are left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    found = client.describe_configs(resources, config_filter="all")["topic"]
    lacking = {
        name: {
            key: value for key, value in topic.configuration.items() if found[name].get(key, {}).get("value") != value
        }
        for name, topic in wanted.items()
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
