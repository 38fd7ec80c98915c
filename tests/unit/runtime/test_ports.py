import random
import socket

import pytest

from contract.errors import TransientError
from runtime import ports


def test_a_chosen_port_is_free_and_outside_the_range_of_outgoing_connections(chance: random.Random) -> None:
    for _ in range(50):
        port = ports.choose(set(), chance)
        assert ports.LOWEST <= port < ports._ephemeral_lowest()
        assert ports.is_free(port)


def test_a_port_that_somebody_listens_on_is_not_free(chance: random.Random) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = ports.choose(set(), chance)
        other.bind((ports.HOST, port))
        other.listen()
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_taken_ports_are_never_chosen_and_no_port_left_is_a_clear_error(chance: random.Random) -> None:
    everything = set(range(ports.LOWEST, ports.HIGHEST + 1))
    with pytest.raises(TransientError, match="no free TCP port"):
        ports.choose(everything, chance)
