"""Puts a connector together from its file and the retailer's settings: the one place here that knows every part."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import NamedTuple

from connectors.config.connector_file import ConnectorConfig, MongodbServer, MysqlServer, parse
from connectors.config.file_settings import Files
from connectors.files.parts import resolve_format
from connectors.mapping.mapper import MappedMessage, Mapper
from connectors.ports import Checkpoint, OffsetStore, Position, Row, Source, Unreadable
from connectors.running.health import Vitals
from connectors.running.positions import SqlOffsetStore
from connectors.running.runner import Runner
from connectors.running.sink import KafkaSink
from contract.clock import Clock, to_epoch_ms
from contract.errors import ConfigurationError
from contract.metrics import Metrics
from contract.settings import Settings
from contract.tokens import build_tokeniser


class Parts(NamedTuple):
    """A connector ready to run, and what its web page looks at."""

    runner: Runner
    vitals: Vitals
    sink: KafkaSink
    silent_after_s: float


def load(file: Path, *, at: Path | None = None) -> ConnectorConfig:
    """The connector file at `file`; raises ConfigurationError with every fault and its line.

    Args:
        file: YAML.
        at: For a source of kind `file`: read these files instead of those it names.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError([f"{file} does not exist; `tillguard connector new` writes a first one"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{file} cannot be read: {type(error).__name__}"]) from None
    config = parse(text, str(file), name=file.stem)
    if not isinstance(config.source, Files):
        return config
    source = config.source if at is None else config.source.derive_for(at.absolute())
    return config.model_copy(update={"source": resolve_format(source, file.parent)})


def build_mapper(config: ConnectorConfig, settings: Settings) -> Mapper:
    """The mapping at work for the retailer; raises ConfigurationError when tokens are wanted and no key is set."""
    keys = settings.connectors
    tokens = build_tokeniser(keys) if keys.token_keys or keys.token_key_id or config.has_tokens() else None
    # a row of a file was read long after its label became known
    delay = timedelta(days=settings.trainer.label_delay_days) if isinstance(config.source, Files) else None
    return Mapper(config, settings.admission, tokens, untimed_label=delay)


def has_untimed_labels(config: ConnectorConfig) -> bool:
    """Whether a label in the transaction's own row has no time of its own."""
    return any(not section.name and section.fields.label_time is None for section in config.labels)


def build_source(
    config: ConnectorConfig,
    mapper: Mapper,
    folder: Path,
    environment: Mapping[str, str],
    pause: Callable[[float], bool],
    *,
    known: Position | None = None,
) -> Source:
    """The source that the file names; connects to nothing yet.

    Args:
        config: The connector file.
        mapper: Its mapping.
        folder: Where the connector file stands; relative paths start there.
        environment: Where `password_env` is looked up.
        pause: Waits this many seconds; True when asked to stop meanwhile.
        known: The saved position, for reading single rows as the running connector reads them.
    """
    source = config.source
    # drivers are imported by who needs them: a retailer on MongoDB needs none of MySQL's
    if isinstance(source, MysqlServer):
        from connectors.mysql.source import MysqlSource  # noqa: PLC0415

        return MysqlSource(config, source, source.read_secret(environment), mapper.list_columns)
    if isinstance(source, MongodbServer):
        from connectors.mongodb.source import MongodbSource  # noqa: PLC0415

        return MongodbSource(config, source, source.read_secret(environment), mapper.list_columns, known)
    return _file_source(config, source, mapper, folder, pause)


def _file_source(
    config: ConnectorConfig, source: Files, mapper: Mapper, folder: Path, pause: Callable[[float], bool]
) -> Source:
    from connectors.files.source import FileSource  # noqa: PLC0415

    def event_time_ms(row: Row) -> int | None:
        moment = mapper.read_event_time(row)
        return None if moment is None else to_epoch_ms(moment)

    return FileSource(config, source, folder, event_time_ms=event_time_ms, columns=mapper.list_columns(""), pause=pause)


def store_of(settings: Settings) -> SqlOffsetStore:
    """The retailer's offset store."""
    return SqlOffsetStore(settings.connectors.positions_url.get_secret_value(), settings.retailer)


def build_sink(config: ConnectorConfig, settings: Settings, stop: Event) -> KafkaSink:
    """The retailer's Kafka; connects with the first message."""
    return KafkaSink(
        settings.kafka.to_kafka_python(),
        client_id=f"tillguard-{settings.retailer}-{config.name}",
        messages_max=config.limits.in_flight_messages,
        bytes_max=config.limits.in_flight_bytes,
        request_timeout_s=settings.kafka.request_timeout_s,
        stop=stop,
    )


def build_connector(
    config: ConnectorConfig,
    settings: Settings,
    folder: Path,
    environment: Mapping[str, str],
    *,
    store: OffsetStore,
    clock: Clock,
    metrics: Metrics,
    stop: Event,
) -> Parts:
    """A connector ready to run; raises ConfigurationError for faults that show before connecting."""
    mapper = build_mapper(config, settings)
    sink = build_sink(config, settings, stop)
    vitals = Vitals(started_s=clock.monotonic_s())
    runner = Runner(
        mapper=mapper,
        source=build_source(config, mapper, folder, environment, stop.wait),
        sink=sink,
        store=store,
        clock=clock,
        metrics=metrics,
        vitals=vitals,
        stop=stop,
    )
    silent_after_s = 0.0 if isinstance(config.source, Files) else config.source.silent_after_s
    return Parts(runner, vitals, sink, silent_after_s)


def read_outcomes(
    mapping: Path, settings: Settings, now: datetime, *, file: Path | None = None
) -> Iterator[MappedMessage]:
    """Everything a file holds, through a connector file, in event-time order: transactions, labels, dead letters.

    Args:
        mapping: A connector file whose source is a file.
        settings: The retailer's.
        now: Becomes ingest_time.
        file: Read this file instead of the one that the connector file names.
    """
    config = load(mapping, at=file)
    if not isinstance(config.source, Files):
        raise ConfigurationError([f"{mapping}: source.kind must be `file` to read a file"])
    mapper = build_mapper(config, settings)
    source_ = build_source(config, mapper, mapping.parent, {}, lambda _: False)
    faults = source_.check()
    if faults:
        raise ConfigurationError(faults)
    start = next(item.position for item in source_.read_snapshot(None) if isinstance(item, Checkpoint))
    for item in source_.read_stream(start):
        if isinstance(item, Row):
            yield from mapper.map_row(item, now)
        elif isinstance(item, Unreadable):
            yield mapper.refuse(item, now)
