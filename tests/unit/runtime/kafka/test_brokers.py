import socket

import pytest

from contract.errors import ConfigurationError, TransientError
from contract.federation.settings import FederationSettings
from contract.settings import KafkaSettings
from runtime.kafka.brokers import is_reachable, require_broker


def test_one_address_that_listens_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        servers = ["127.0.0.1:1", f" [127.0.0.1]:{listening.getsockname()[1]}"]
        assert is_reachable(servers)
        require_broker(KafkaSettings(bootstrap_servers=",".join(servers)))
    assert not is_reachable(["127.0.0.1:1"])


def test_what_is_no_address_is_a_fault_of_its_setting() -> None:
    with pytest.raises(ConfigurationError) as refused:
        require_broker(FederationSettings(bootstrap_servers="broker, other:port,third:9092"))
    assert refused.value.faults == [
        f"federation.bootstrap_servers: {server!r} is not host:port" for server in ("broker", "other:port")
    ]


def test_where_nobody_listens_the_setting_is_named() -> None:
    with pytest.raises(TransientError, match=r"answers at 127\.0\.0\.1:1 \(kafka\.bootstrap_servers\)"):
        require_broker(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
