"""Whether a Kafka cluster can be reached, asked by a plain connection before a client is made.

A kafka-python client that is made while no broker answers waits long, and leaves its sockets behind.
"""

import socket
from collections.abc import Iterable

from contract.errors import ConfigurationError, TransientError
from contract.sections.kafka_connection import KafkaConnection

PROBE_S = 2.0
"""For each address."""


def is_reachable(servers: Iterable[str]) -> bool:
    """Whether anything listens at one of these addresses (`host:port`); blocks for PROBE_S an address at most."""
    return any(map(_listens, servers))


def require_broker(connection: KafkaConnection) -> None:
    """Raises TransientError where nothing listens, ConfigurationError for what is no address."""
    servers, setting = connection.bootstrap_servers.split(","), f"{connection.SECTION}.bootstrap_servers"
    strange = [server for server in servers if not server.rpartition(":")[2].strip().isdecimal()]
    if strange:
        raise ConfigurationError([f"{setting}: {server.strip()!r} is not host:port" for server in strange])
    if not is_reachable(servers):
        raise TransientError(f"no Kafka broker answers at {connection.bootstrap_servers} ({setting})")


def _listens(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False
