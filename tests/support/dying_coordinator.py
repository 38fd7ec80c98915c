"""A coordinator that is killed with -9 at an exact place of a round: FILE ROUND KIND before|during|after.

It is the product's coordinator; only its transport kills the process when the message KIND of ROUND is about to be written,
stands in an open transaction, or has just been committed.
"""

import sys
from pathlib import Path
from threading import Event

from runtime import logs
from support.dying_transport import DyingTransport
from tillguard.config import load_coordinator
from tillguard.federation import keys, root


def main(file: str, round_number: str, kind: str, moment: str) -> None:
    """Runs until it is killed."""
    DyingTransport.round_number, DyingTransport.kind, DyingTransport.moment = int(round_number), kind, moment
    setattr(root, "KafkaTransport", DyingTransport)  # noqa: B010 - the process dies where the test says
    settings = load_coordinator(Path(file))
    logs.configure(settings.log)
    identity = keys.load_identity(settings.federation.coordinator, "init")
    root.run_coordinator(settings.federation, identity, Event(), rounds=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
