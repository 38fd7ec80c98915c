"""Reads the rows behind dead letters again, after a mapping or the data was corrected, and sends what they are now."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import NamedTuple

from connectors.assembly import mapper_of, sink_of, source_of
from connectors.config import ConnectorConfig
from connectors.mapping import Mapper
from connectors.ports import Sink, Source
from contract.clock import Clock
from contract.dead_letters import DeadLetter
from contract.errors import TransientError
from contract.settings import Settings

FLUSH_S = 30.0


class Retried(NamedTuple):
    """What became of one dead letter."""

    letter: DeadLetter
    sent: bool
    detail: str
    """What was sent, or why nothing was; no values."""


def retry(
    config: ConnectorConfig,
    settings: Settings,
    folder: Path,
    environment: Mapping[str, str],
    *,
    letters: Iterable[DeadLetter],
    clock: Clock,
) -> list[Retried]:
    """Fetches each letter's row by its key, maps it, and sends it; all is confirmed by Kafka when this returns.

    Args:
        config: The connector file of the connector that wrote the letters (`letter.part` is `connector:<name>`).
        settings: The retailer's.
        folder: Where the connector file stands.
        environment: Where `password_env` is looked up.
        letters: Dead letters of this connector.
        clock: For ingest_time.

    Raises:
        TransientError: The source or Kafka did not answer; what was sent before may come twice, which changes nothing.
        ConfigurationError: The source refuses.
    """
    mapper = mapper_of(config, settings)
    stop = Event()
    source = source_of(config, mapper, folder, environment, stop.wait)
    sink = sink_of(config, settings, stop)
    try:
        done = list(_each(mapper, source, sink, letters, clock))
        if not sink.flush(FLUSH_S):
            raise TransientError("Kafka did not confirm in time; retry again")
        return done
    finally:
        sink.close()
        source.close()


def _each(mapper: Mapper, source: Source, sink: Sink, letters: Iterable[DeadLetter], clock: Clock) -> Iterator[Retried]:
    tables = {mapper.source_name(table.name): table.name for table in mapper.config.tables()}
    tables[mapper.source_name(mapper.config.transactions.name)] = mapper.config.transactions.name
    for letter in letters:
        table = tables.get(letter.source)
        if letter.key is None or table is None:
            why = "the row has no key" if letter.key is None else "the connector file no longer reads this table"
            yield Retried(letter, sent=False, detail=why)
            continue
        row = source.fetch(table, letter.key)
        if row is None:
            yield Retried(letter, sent=False, detail="the row is gone, or its key is shown as a token only")
            continue
        outcomes = mapper.outcomes(row, clock.now())
        bad = next((outcome for outcome in outcomes if isinstance(outcome, DeadLetter)), None)
        if bad is not None:
            yield Retried(letter, sent=False, detail=f"still {bad.reason}: {bad.detail}")
            continue
        for outcome in outcomes:
            sink.send(mapper.outgoing(outcome))
        yield Retried(letter, sent=True, detail=f"{len(outcomes)} messages sent")
