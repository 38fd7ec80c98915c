"""Heartbeats of every kind of process: what each says of itself, and through which producer."""

from collections.abc import Callable

from contract.clock import Clock
from contract.settings import Settings
from contract.status.message import Condition
from contract.topics import STATUS
from runtime.heartbeat import Heartbeat, Speaker, StatusOutlet, name_process
from tillguard import __version__


def build_heartbeat(
    settings: Settings, part: str, look: Callable[[], Condition], clock: Clock, *, outlet: StatusOutlet | None = None
) -> Heartbeat:
    """The heartbeat of this process; it begins when it is entered.

    Args:
        settings: The retailer's.
        part: As in `contract.status.message.ProcessStatus`.
        look: How the process is now.
        clock: The process's.
        outlet: Through the producer that its threads share; None: through one of its own, for a process without librdkafka.
    """
    speaker = Speaker(settings.retailer, part, __version__, settings.status.every_s)
    return Heartbeat(speaker, look, outlet or _open_own(settings), clock)


def _open_own(settings: Settings) -> StatusOutlet:
    from runtime.kafka.own_status import OwnStatusOutlet  # noqa: PLC0415 - kafka-python is slow to import

    return OwnStatusOutlet(
        settings.kafka, f"tillguard-{settings.retailer}-{name_process()}-status", STATUS.name(settings.retailer)
    )
