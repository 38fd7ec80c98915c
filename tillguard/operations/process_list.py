"""Which processes of a retailer run, as they say on the status topic."""

from collections.abc import Iterable

from contract.clock import from_epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.settings import Settings
from contract.status.message import ProcessStatus
from contract.status.words import Heard
from contract.topics import STATUS
from runtime.kafka.topic_log import Record, TopicReader


def read_processes(settings: Settings) -> list[Heard]:
    """Whoever is still known on the topic, with the newest that each said. Raises TransientError."""
    reader = TopicReader(settings.kafka)
    return keep_newest(reader.read_until_now(STATUS.name(settings.retailer)), settings.retailer)


def keep_newest(records: Iterable[Record], retailer: str) -> list[Heard]:
    """The newest status by key; what is no status of this retailer, whoever wrote it, is left out. Pure."""
    decoder, newest = Decoder(ProcessStatus), dict[bytes | None, Heard]()
    for record in records:
        newest.pop(record.key, None)
        try:
            status = decoder.decode(record.value)
        except InvalidEventError:
            continue
        if status.retailer == retailer:
            newest[record.key] = Heard(status, from_epoch_ms(record.appended_ms))
    return list(newest.values())
