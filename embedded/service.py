"""What the stack must know of a server: the port that Kafka, Redis, MariaDB and the Mongo wire server implement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from embedded.artifacts import Report
from embedded.ledger import Endpoint


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server lives."""

    folder: Path
    """Data and configuration of this server; deleted by nobody but the user."""
    logs: Path
    """Shared between the servers of one stack; file names start with the server's."""
    cache: Path
    """Shared between stacks."""
    report: Report


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and what its environment has besides PATH and the like."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """One kind of server. Stateless: everything it knows comes in as arguments. Called under the stack's lock."""

    name: str
    remembers: bool
    """Whether data outlives the process."""
    space_bytes: int
    """What the state folder's disk must have free for a start."""
    start_timeout_s: float
    stop_timeout_s: float

    def make_endpoint(self, port: int, spare_port: int, known: Endpoint | None) -> Endpoint:
        """The address on `port`; passwords are kept from `known` (they are inside the data) or made fresh."""
        ...

    def install(self, place: Place) -> None:
        """Brings programs into the cache and prepares an empty data folder, once; may take minutes the first time.

        Interrupted anywhere, the next call completes it. Raises PrerequisiteError, ServiceFailedError.
        """
        ...

    def configure(self, place: Place, endpoint: Endpoint) -> Launch:
        """Writes the configuration and returns the command; called before every start."""
        ...

    def make_marker(self, place: Place) -> str:
        """An argument that only this server of this state folder carries: finds a process that nobody wrote down."""
        ...

    def probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        """One exchange in the server's own protocol; any exception means not (yet) serving."""
        ...
