"""Dead letters for operators: which stand, what each says, and another try.

A letter is named by where it stands on the topic, `partition:offset`. A retried letter is taken back by a tombstone, so it is
listed no more; if the new try fails, a new letter comes.

Whoever can write to the dead-letters topic can write any text into a letter. A letter therefore only chooses: among the topics of this
retailer that scoring and trainers read, a record that stands there; among the connector files of one folder, a row by its key. It
brings no bytes, no topic, no path, and no environment variable is read before the file and its table are known to be the operator's own.
"""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from connectors.unexpected import guard
from contract.codec import Decoder
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError, InvalidEventError, TillguardError, TransientError
from contract.sections.section import NAME
from contract.settings import Settings
from contract.topics import DEAD_LETTERS, LABELS, OUTCOMES, RESOLUTIONS, TRANSACTIONS
from runtime.kafka.producer import Outlet, SharedProducer
from runtime.kafka.topic_log import Record, TopicReader

if TYPE_CHECKING:
    from connectors.config.connector_file import ConnectorConfig

CONNECTOR = "connector:"
SENT_AGAIN = (TRANSACTIONS, LABELS, RESOLUTIONS, OUTCOMES)
"""Topics whose records may be sent again; those that workers, trainers and publications write are not among them."""
_PLACE = re.compile(r"([0-9]{1,6}):([0-9]{1,18})")
_NAME = re.compile(NAME)


class Filed(NamedTuple):
    """A dead letter and where it stands."""

    record: Record
    letter: DeadLetter

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return f"{self.record.partition}:{self.record.offset}"


class NotRetriedError(TillguardError):
    """A letter cannot be tried again; the text says why."""


def list_standing(settings: Settings) -> list[Filed]:
    """Every letter that was not taken back, oldest first."""
    decoder = Decoder(DeadLetter)
    found: dict[tuple[int, bytes | None], list[Filed]] = {}
    for record in TopicReader(settings.kafka).read_until_now(DEAD_LETTERS.name(settings.retailer)):
        place = (record.partition, record.key)
        if record.value is None:
            found.pop(place, None)
            continue
        try:
            found.setdefault(place, []).append(Filed(record, decoder.decode(record.value)))
        except InvalidEventError:
            continue  # not ours; the topic's owner may look at it by other means
    letters = [filed for several in found.values() for filed in several]
    return sorted(letters, key=lambda filed: (filed.letter.failed_at, filed.record.partition, filed.record.offset))


class Retry:
    """Tries letters again: scoring's by the record it could not use, a connector's by reading the source row again."""

    def __init__(self, settings: Settings, connectors: Path) -> None:
        """`connectors` holds the connector files."""
        self._settings = settings
        self._folder = connectors
        self._reader = TopicReader(settings.kafka)

    def retry(self, letters: Sequence[Filed]) -> Iterator[tuple[Filed, str | None]]:
        """Each letter with None when it was sent again, or the reason why it was not."""
        with SharedProducer(self._settings.kafka, "operator") as producer:
            for filed in letters:
                try:
                    with guard(f"the retry of {filed.name}"):
                        self._retry(filed, producer)
                except TransientError:
                    raise
                except TillguardError as error:
                    yield filed, str(error)
                else:
                    yield filed, None

    def _retry(self, filed: Filed, outlet: Outlet) -> None:
        if filed.letter.part.startswith(CONNECTOR):
            self._send_row(filed)
        else:
            self._send_record(filed, outlet)
        if filed.record.key is not None:  # only now: a letter is not taken back before its message is delivered
            outlet.deliver(filed.record.topic, [(filed.record.key, None)], filed.record.partition)

    def _send_record(self, filed: Filed, outlet: Outlet) -> None:
        letter = filed.letter
        place = _PLACE.fullmatch(letter.position)
        if letter.source not in {topic.name(self._settings.retailer) for topic in SENT_AGAIN} or place is None:
            raise NotRetriedError("it names no record of a topic from which records are sent again")
        partition, offset = int(place[1]), int(place[2])
        original = self._reader.read_at(letter.source, partition, offset)
        if original is None or original.value is None or not original.key:
            raise NotRetriedError("the record it is about has left the topic; its source must send it again")
        outlet.deliver(letter.source, [(original.key, original.value)], partition)

    def _send_row(self, filed: Filed) -> None:
        from connectors.assembly import build_mapper, build_sink, build_source, store_of  # noqa: PLC0415 - drivers come with them

        letter = filed.letter
        file, config = self._connector(letter.part.removeprefix(CONNECTOR))
        if letter.key is None:
            raise NotRetriedError("the row has no key by which it could be found")
        mapper = build_mapper(config, self._settings)
        tables = [table.name for table in config.list_tables()] or [""]
        table = next((each for each in tables if mapper.name_source(each) == letter.source), None)
        if table is None:
            raise NotRetriedError(f"{file.name} reads no {letter.source}")
        store = store_of(self._settings)
        try:
            saved = store.load(config.name)
        finally:
            store.close()
        known = saved.position if saved is not None else None
        source = build_source(config, mapper, file.parent, os.environ, lambda _: False, known=known)
        sink = build_sink(config, self._settings, Event())
        try:
            row = source.fetch(table, letter.key)
            if row is None:
                raise NotRetriedError(f"the row is not in {letter.source} any more, or its key is kept as a token only")
            outcomes = mapper.map_row(row, datetime.now(UTC))
            refused = next((outcome for outcome in outcomes if isinstance(outcome, DeadLetter)), None)
            if refused is not None:
                raise NotRetriedError(f"still refused: {refused.reason}: {refused.detail}")
            for outcome in outcomes:
                sink.send(mapper.make_outgoing(outcome))
            if not sink.flush(self._settings.kafka.request_timeout_s):
                raise NotRetriedError("Kafka did not confirm the messages")
        finally:
            sink.close()
            source.close()

    def _connector(self, name: str) -> "tuple[Path, ConnectorConfig]":
        """The connector of this name among the files of the folder; a name never becomes a path."""
        from connectors.assembly import load  # noqa: PLC0415 - as above

        if _NAME.fullmatch(name) is None:
            raise NotRetriedError("it names no connector")
        files = sorted(self._folder.glob("*.yaml"), key=lambda file: (file.stem != name, file.name))
        for file in files:
            try:
                config = load(file)
            except ConfigurationError:
                if file.stem == name:
                    raise
                continue
            if name == config.name:
                return file, config
        raise NotRetriedError(
            f"no file in {self._folder} is connector {name}; name the connector files' folder with --connectors"
        )
