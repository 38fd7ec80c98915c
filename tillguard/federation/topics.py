"""Makes the federation's four topics be what they must. Safe to run again, and next to running processes.

Each has one partition, which is one order. Only the coordinator may write to control, models and ledger: that is for the
broker's access lists (docs/federation.md), the signatures hold without them.
"""

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from contract.errors import ConfigurationError, TransientError
from contract.federation.settings import FederationSettings
from federation.transports.kafka_logs import require_broker, topic_name
from federation.transports.ports import LOGS, LogName

DAY_MS = 86_400_000


def configuration(log: LogName, settings: FederationSettings) -> dict[str, str]:
    """The topic's configuration on the broker; nothing is compacted, since every record is part of a history. Pure."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if log == "ledger" else str(round(settings.retention_days * DAY_MS)),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2" if settings.replication_factor > 2 else "1",
    }


def ensure(settings: FederationSettings) -> list[str]:
    """Creates what is missing and sets the configuration; returns the names of topics it made.

    Raises TransientError when no broker answers, ConfigurationError for what it refuses.
    """
    require_broker(settings)
    limit_ms = round(settings.request_timeout_s * 1000)
    wanted = {topic_name(settings.name, log): configuration(log, settings) for log in LOGS}
    try:
        client = KafkaAdminClient(**settings.kafka_python(), request_timeout_ms=limit_ms, bootstrap_timeout_ms=limit_ms)
    except (KafkaError, OSError, RuntimeError) as error:
        raise TransientError(
            f"no Kafka broker answers at {settings.bootstrap_servers} (federation.bootstrap_servers): {type(error).__name__}"
        ) from None
    try:
        missing = [name for name in wanted if name not in set(client.list_topics())]
        if missing:
            _create(client, settings, {name: wanted[name] for name in missing})
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, values) for name, values in wanted.items()]
        answer = client.alter_configs(resources)["topic"]
        faults = [f"{name}: {result}" for name, result in answer.items() if result != "OK"]
        if faults:
            raise ConfigurationError(faults)
    except KafkaError as error:
        raise TransientError(f"topics of {settings.name}: {type(error).__name__}: {error}") from None
    finally:
        client.close()
    return missing


def _create(client: KafkaAdminClient, settings: FederationSettings, wanted: dict[str, dict[str, str]]) -> None:
    answer = client.create_topics(
        {
            name: {"num_partitions": 1, "replication_factor": settings.replication_factor, "configs": values}
            for name, values in wanted.items()
        },
        raise_errors=False,
    )
    faults = [
        f"{entry['name']}: {for_code(entry['error_code']).__name__}"
        for entry in answer["topics"]
        if entry["error_code"] not in (0, TopicAlreadyExistsError.errno)
    ]
    if faults:
        raise ConfigurationError(faults)
    client.wait_for_topics(list(wanted))
