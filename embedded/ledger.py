"""`stack.json`: where every server of one state folder listens, how to sign in, and which process it is.

Written whole under a temporary name and renamed, so a reader never sees half of it. Mode 0600: it holds passwords.
"""

from pathlib import Path

import msgspec

from embedded.artifacts import translate_write_errors
from embedded.errors import StackError
from runtime import atomic_file
from runtime.processes import Identity


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to reach one server."""

    host: str
    port: int
    uri: str
    """For a client: redis://, mysql+pymysql://, mongodb:// or host:port of Kafka."""
    user: str | None = None
    password: str | None = None
    controller_port: int | None = None
    """Kafka's second listener."""
    generation: str | None = None
    """New for every life of a server that forgets everything when it stops: positions of another generation are dead."""


class Record(msgspec.Struct, frozen=True):
    """One server: its address stays when it is down, its process does not."""

    endpoint: Endpoint
    process: Identity | None = None
    log: str = ""


class Ledger(msgspec.Struct, frozen=True):
    """The content of stack.json."""

    services: dict[str, Record] = {}
    version: int = 1


def read(file: Path) -> Ledger:
    """The ledger in `file`, empty where there is none; raises StackError when it is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()
    except (msgspec.MsgspecError, OSError) as error:
        raise StackError(
            f"{file} cannot be read ({type(error).__name__}); delete it and run `tillguard up` again"
        ) from error


def write(file: Path, ledger: Ledger) -> None:
    """Replaces `file`, durably; raises PrerequisiteError when the disk is full."""
    with translate_write_errors(file.parent):
        atomic_file.write(file, msgspec.json.format(msgspec.json.encode(ledger), indent=2), mode=0o600)
