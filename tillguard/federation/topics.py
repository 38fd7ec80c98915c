"""Makes the federation's four topics be what they must. Safe to run again, and next to running processes.

Each has one partition, which is one order. Only the coordinator may write to control, models and ledger: that is for the
broker's access lists (docs/federation.md), the signatures hold without them.
"""

from contract.federation.settings import FederationSettings
from federation.transports.kafka_logs import build_topic_name
from federation.transports.ports import LOGS, LogName
from runtime.kafka.topics import DAY_MS, WantedTopic, ensure_topics


def get_topic_configuration(log: LogName, settings: FederationSettings) -> dict[str, str]:
    """The topic's configuration on the broker; nothing is compacted, since every record is part of a history. Pure."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if log == "ledger" else str(round(settings.retention_days * DAY_MS)),
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2" if settings.replication_factor > 2 else "1",
    }


def ensure(settings: FederationSettings) -> list[str]:
    """As `runtime.kafka.topics.ensure_topics`, for the federation's."""
    wanted = {
        build_topic_name(settings.name, log): WantedTopic(1, get_topic_configuration(log, settings)) for log in LOGS
    }
    return ensure_topics(settings, settings.name, wanted)
