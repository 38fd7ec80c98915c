"""What kafka-python's clients need around them: a broker that can be reached before one is made, and an end of a producer's thread.

A client that is made while no broker answers waits long, and leaves its sockets behind; so a plain connection asks first.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contract.errors import ConfigurationError, TransientError
from contract.sections.kafka_connection import KafkaConnection

PROBE_S = 2.0
"""For each address."""
CLOSE_S = 5.0


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


def close_producer(producer: KafkaProducer) -> None:
    """Ends a producer and joins its thread, also while no broker answers; what it had not sent is dropped."""
    # close() alone first waits for what cannot be sent, then gives up and leaves its thread running
    sender = producer._sender  # noqa: SLF001 - the only way to end it
    sender.force_close()
    sender.join(CLOSE_S)
    with suppress(KafkaError, OSError, RuntimeError):
        producer.close(timeout=CLOSE_S)


def _listens(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S):
            return True
    except (OSError, ValueError, OverflowError):
        return False
