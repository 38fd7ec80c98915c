"""Chooses TCP ports on the loopback interface.

Outside the range that the system hands to outgoing connections: there, a client that keeps trying a server which is down can
connect to itself and hold the server's port.
"""

import random
import socket
from collections.abc import Collection
from pathlib import Path

from contract.errors import TransientError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 15_000, 31_999
TRIES = 400
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def require_listener(port: int, timeout_s: float) -> None:
    """Raises OSError at once when nobody listens, where client libraries would try again for seconds."""
    socket.create_connection((HOST, port), timeout_s).close()


def choose(taken: Collection[int], chance: random.Random) -> int:
    """A free port that is not in `taken`; raises TransientError when there is none."""
    highest = min(HIGHEST, _ephemeral_lowest() - 1)
    if highest < LOWEST:
        highest = HIGHEST
    for _ in range(TRIES):
        port = chance.randint(LOWEST, highest)
        if port not in taken and is_free(port):
            return port
    raise TransientError(f"no free TCP port found on {HOST} between {LOWEST} and {highest}")


def _ephemeral_lowest() -> int:
    try:
        return int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return HIGHEST + 1
