"""Dead letters for operators: which stand, what each says, and another try.

A letter is named by where it stands on the topic, `partition:offset`. A retried letter is taken back by a tombstone, so it is
listed no more; if the new try fails, a new letter comes.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import NamedTuple

from contract.codec import Decoder
from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError, TillguardError
from contract.settings import Settings
from contract.topics import DEAD_LETTERS
from tillguard.topic_log import Record, TopicReader, TopicWriter

CONNECTOR = "connector:"


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


def standing(settings: Settings) -> list[Filed]:
    """Every letter that was not taken back, oldest first."""
    decoder = Decoder(DeadLetter)
    found: dict[tuple[int, bytes | None], list[Filed]] = {}
    for record in TopicReader(settings.kafka).until_now(DEAD_LETTERS.name(settings.retailer)):
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
    """Tries letters again: scoring's by the record it could not use, a connector's by reading the source row anew."""

    def __init__(self, settings: Settings, connectors: Path) -> None:
        """`connectors` holds the connector files."""
        self._settings = settings
        self._folder = connectors
        self._reader = TopicReader(settings.kafka)

    def retry(self, letters: Sequence[Filed]) -> Iterator[tuple[Filed, str | None]]:
        """Each letter with None when it was sent again, or the reason why it was not."""
        for filed in letters:
            try:
                self._retry(filed)
            except NotRetriedError as error:
                yield filed, str(error)
            else:
                yield filed, None

    def _retry(self, filed: Filed) -> None:
        writer = TopicWriter(self._settings.kafka)
        if filed.letter.part.startswith(CONNECTOR):
            self._send_row(filed)
        else:
            self._send_record(filed, writer)
            writer.finish()
        if filed.record.key is not None:  # only now: a letter is not taken back before its message is delivered
            writer.send(filed.record.topic, filed.record.key, None, filed.record.partition)
            writer.finish()

    def _send_record(self, filed: Filed, writer: TopicWriter) -> None:
        letter = filed.letter
        partition, _, offset = letter.position.partition(":")
        if not letter.source.startswith(f"{self._settings.retailer}.") or not (
            partition.isdigit() and offset.isdigit()
        ):
            raise NotRetriedError(f"its source {letter.source} {letter.position} is no record of this retailer")
        original = self._reader.at(letter.source, int(partition), int(offset))
        payload = letter.payload if original is None or original.value is None else original.value
        if payload is None:
            raise NotRetriedError("the record it is about has left the topic, and it was too large to be kept here")
        key = original.key if original is not None else (letter.key or "").encode()
        if not key:
            raise NotRetriedError("the record it is about has left the topic, and its key is not known")
        writer.send(letter.source, key, payload, int(partition))

    def _send_row(self, filed: Filed) -> None:
        from connectors.assembly import load, mapper_of, sink_of, source_of  # noqa: PLC0415 - drivers come with them

        letter = filed.letter
        file = self._folder / f"{letter.part.removeprefix(CONNECTOR)}.yaml"
        if not file.exists():
            raise NotRetriedError(f"{file} does not exist; name the connector files' folder with --connectors")
        if letter.key is None:
            raise NotRetriedError("the row has no key by which it could be found")
        config = load(file)
        mapper = mapper_of(config, self._settings)
        source = source_of(config, mapper, file.parent, os.environ, lambda _: False)
        sink = sink_of(config, self._settings, Event())
        try:
            tables = [table.name for table in config.tables()] or [""]
            found = [source.fetch(table, letter.key) for table in tables if mapper.source_name(table) == letter.source]
            row = found[0] if found else None
            if row is None:
                raise NotRetriedError(f"the row is not in {letter.source} any more, or its key is kept as a token only")
            outcomes = mapper.outcomes(row, datetime.now(UTC))
            refused = next((outcome for outcome in outcomes if isinstance(outcome, DeadLetter)), None)
            if refused is not None:
                raise NotRetriedError(f"still refused: {refused.reason}: {refused.detail}")
            for outcome in outcomes:
                sink.send(mapper.outgoing(outcome))
            if not sink.flush(self._settings.kafka.request_timeout_s):
                raise NotRetriedError("Kafka did not confirm the messages")
        finally:
            sink.close()
            source.close()
