"""The federation's logs, in memory and on a real Kafka, for one suite."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from contract.federation.settings import FederationSettings
from federation.transports.memory import MemoryBroker, MemoryTransport
from federation.transports.ports import Transport


class World(Protocol):
    """Opens transports onto the same, fresh logs."""

    def open(self, identity: str, *, exclusive: bool = False) -> Transport: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.broker = MemoryBroker(now_ms=1_000)

    def open(self, identity: str, *, exclusive: bool = False) -> Transport:
        return MemoryTransport(self.broker, identity, exclusive=exclusive)


class KafkaWorld:
    def __init__(self, settings: FederationSettings, opened: list[Any]) -> None:
        self.settings = settings
        self.opened = opened

    def open(self, identity: str, *, exclusive: bool = False) -> Transport:
        from federation.transports.kafka_logs import KafkaTransport

        transport = KafkaTransport(self.settings, identity, exclusive=exclusive)
        self.opened.append(transport)
        return transport


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest, retailer_name: str) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    from tillguard.federation.topics import ensure

    stack = request.getfixturevalue("stack")
    settings = FederationSettings(name=f"fed-{retailer_name}", bootstrap_servers=stack.endpoints["kafka"].uri)
    ensure(settings)
    opened: list[Any] = []
    yield KafkaWorld(settings, opened)
    for transport in opened:
        transport.close()


Opener = Callable[..., Transport]
