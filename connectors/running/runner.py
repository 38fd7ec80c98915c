"""The connector at work: snapshot, then stream; map; deliver; save the position of what was delivered.

Invariant: a position is saved only when every message that came before it is confirmed by Kafka. Knows the ports only.
"""

from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import structlog

from connectors.mapping.mapper import Mapper
from connectors.ports import (
    Checkpoint,
    Extent,
    Interrupted,
    Item,
    OffsetStore,
    Position,
    Row,
    Rowless,
    Saved,
    SchemaSeen,
    Sink,
    Source,
    Unreadable,
)
from connectors.running.health import Reading, Vitals
from connectors.running.limits import DeadLetterLimits
from connectors.running.schema_guard import SchemaGuard
from connectors.unexpected import guard
from contract.clock import Clock
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError, PositionDeadError, TillguardError, TransientError
from contract.metrics import Metrics

_LOG = structlog.get_logger()
SAVE_EVERY_S = 1.0
FLUSH_S = 15.0
"""How long a stopping connector waits for Kafka; what is not confirmed then comes again."""
BACKOFF_S_MAX = 15.0
RESNAPSHOTS_MAX = 3
"""Snapshots in a row that a dead position may cause without any progress between."""
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Tally:
    """What one run did."""

    rows: int = 0
    messages: int = 0
    dead_letters: int = 0


class Runner:
    """One connector, used once. `run` belongs to one thread; `vitals` may be read from others."""

    def __init__(
        self,
        *,
        mapper: Mapper,
        source: Source,
        sink: Sink,
        store: OffsetStore,
        clock: Clock,
        metrics: Metrics,
        vitals: Vitals,
        stop: Event,
    ) -> None:
        """Takes every part it needs; opens nothing."""
        self._mapper = mapper
        self._config = mapper.config
        self._source = source
        self._sink = sink
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._vitals = vitals
        self._stop = stop
        self._name = self._config.name
        self._saved = Saved(self._name, Position("snapshot", ""), {}, self._config.compute_fingerprint(), 0, 0, _NEVER)
        self._limits = DeadLetterLimits(self._config.limits)
        self._marks: deque[tuple[int, Position]] = deque()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._saved_at_s = 0.0
        self._store_failed = False
        self._streaming = False
        self._checked = True  # false where the mapping is another than the saved position's
        self._confirmed = 0
        self._backoff_s = 0.0
        self._down_since_s: float | None = None
        self.tally = Tally()

    def run(self, *, until_caught_up: bool = False) -> Tally:
        """Runs until stopped, or until the source ends or (if asked) has nothing more.

        Raises:
            TransientError: The source was away for longer than `limits.source_down_s`, or the offset store fails.
            PositionDeadError: The position is dead, and the file's policy is to fail (or resnapshots did not help).
            DeadLetterLimitError: Too many rows could not be used.
            ConfigurationError: Only a person can help.
            UnexpectedError: The source, Kafka's client or the offset store failed in a way that no rule foresaw.
        """
        with guard(f"connector {self._name}", self._place):
            self._load()
            try:
                self._loop(until_caught_up=until_caught_up)
            except Interrupted:
                _LOG.info("interrupted", connector=self._name)
            finally:
                self._finish()
        return self.tally

    def _place(self) -> str:
        """Where the next start begins; without the key that a scan stands at, which may be personal data."""
        position = self._saved.position
        if position.stage == "snapshot":
            return "The next start continues with the snapshot."
        return f"Everything up to the saved position is delivered; the next start continues there: {position.text}"

    def _load(self) -> None:
        fingerprint = self._config.compute_fingerprint()
        saved = self._store.load(self._name)
        if saved is None:
            saved = self._saved
        elif saved.mapping != fingerprint:
            _LOG.info("mapping_changed", connector=self._name)
            saved = saved._replace(schema={}, mapping=fingerprint)
            self._checked = False
        self._saved = saved
        self._position = saved.position if saved.position.text else None
        self._guard = SchemaGuard(saved.schema, self._mapper.list_columns)
        _LOG.info(
            "connector_starts", connector=self._name, stage=saved.position.stage, resumed=self._position is not None
        )

    def _loop(self, *, until_caught_up: bool) -> None:
        items = self._reading()
        try:
            for item in items:
                self._vitals.note_source(self._clock.monotonic_s())
                self._take(item)
                if self._stop.is_set():
                    return
                if until_caught_up and isinstance(item, Checkpoint) and item.idle and self._streaming:
                    return
        finally:
            items.close()

    def _reading(self) -> Generator[Item]:
        """Every item, through lost connections and dead positions."""
        while not self._stop.is_set():
            try:
                for item in self._from_position():
                    yield item
                    self._down_since_s = None
                return  # noqa: TRY300 - the end of a source that ends
            except TransientError as error:
                self._back_off(error)
            except PositionDeadError as error:
                self._resnapshot(error)

    def _from_position(self) -> Iterator[Item]:
        self._streaming = self._vitals.streaming = False
        if self._position is None or not self._checked:
            faults = self._source.check()
            if faults:
                raise ConfigurationError(faults)
            self._checked = True
        if self._position is None or self._position.stage == "snapshot":
            yield from self._source.read_snapshot(self._position)
        if self._position is None or self._position.stage == "snapshot":
            raise TransientError("the snapshot ended without a position to stream from")
        self._streaming = True
        self._vitals.begin_stream()
        yield from self._source.read_stream(self._position)

    def _back_off(self, error: TransientError) -> None:
        now = self._clock.monotonic_s()
        if self._down_since_s is None:
            self._down_since_s, self._backoff_s = now, 0.25
        away_s = now - self._down_since_s
        self._vitals.away = str(error)
        _LOG.warning("source_away", connector=self._name, error=str(error), away_s=round(away_s, 1))
        if away_s > self._config.limits.source_down_s:
            raise error
        self._stop.wait(self._backoff_s)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_S_MAX)

    def _resnapshot(self, error: PositionDeadError) -> None:
        if self._config.on_dead_position == "fail":
            raise PositionDeadError(
                f"{error}. Rows between the saved position and the oldest that the source still has cannot be read. "
                f"Remedy: `tillguard connector positions reset {self._name}` reads the whole table again (rows first seen "
                "within retention.first_sight_days change nothing, older ones count again), or set `on_dead_position: resnapshot` in the connector file to do so by itself"
            ) from None
        if self._saved.resnapshots >= RESNAPSHOTS_MAX:
            raise PositionDeadError(
                f"{error}. {RESNAPSHOTS_MAX} snapshots in a row led to no progress: the source forgets its log faster than a "
                "snapshot takes; make it keep its log for longer"
            ) from None
        _LOG.warning("position_dead", connector=self._name, error=str(error), resnapshots=self._saved.resnapshots + 1)
        self._marks.clear()
        self._position = None
        self._save(self._saved._replace(resnapshots=self._saved.resnapshots + 1))

    def _take(self, item: Item) -> None:
        if isinstance(item, Row):
            self._take_row(item)
        elif isinstance(item, Checkpoint):
            self._take_mark(item)
        elif isinstance(item, SchemaSeen):
            self._take_schema(item)
        elif isinstance(item, Rowless):
            self._counts["rowless", item.why] += 1
        elif isinstance(item, Extent):
            self._take_extent(item)
        else:
            self._take_unreadable(item)

    def _take_row(self, row: Row) -> None:
        now = self._clock.now()
        self.tally.rows += 1
        self._vitals.note_row()
        self._counts["rows", row.phase] += 1
        if row.changed_at is not None:
            self._vitals.lag_s = max(0.0, (now - row.changed_at).total_seconds())
        fault = self._guard.find_fault(row.table)
        outcomes = (
            [self._mapper.reject(row, now, "schema_changed", fault)]
            if fault is not None
            else self._mapper.map_row(row, now)
        )
        bad = None
        for outcome in outcomes:
            if isinstance(outcome, DeadLetter):
                bad = outcome
                self._counts["dead_letters", outcome.reason] += 1
                self.tally.dead_letters += 1
            self._sink.send(self._mapper.make_outgoing(outcome))
        self.tally.messages += len(outcomes)
        if outcomes:
            self._limits.count(bad=bad is not None, reason=bad.reason if bad else "")

    def _take_unreadable(self, item: Unreadable) -> None:
        self._vitals.note_row()
        letter = self._mapper.refuse(item, self._clock.now())
        self._counts["dead_letters", letter.reason] += 1
        self.tally.rows += 1
        self.tally.messages += 1
        self.tally.dead_letters += 1
        self._sink.send(self._mapper.make_outgoing(letter))
        self._limits.count(bad=True, reason=letter.reason)

    def _take_schema(self, item: SchemaSeen) -> None:
        if self._guard.record(item):
            self._saved = self._saved._replace(schema=self._guard.expected)
        fault = self._guard.find_fault(item.table)
        if fault is not None:
            _LOG.error("schema_changed", connector=self._name, table=item.table, fault=fault)

    def _take_extent(self, item: Extent) -> None:
        names = [table.name for table in self._config.list_tables()]
        after = len(names) - names.index(item.table) - 1 if item.table in names else 0
        self._vitals.reading = Reading(item, self._clock.monotonic_s(), after, item.before)

    def _take_mark(self, mark: Checkpoint) -> None:
        self._position = mark.position
        self._vitals.caught_up = mark.idle
        # while rows are bad the position waits, so that a corrected mapping sees them again
        if self._limits.in_a_row == 0 or mark.idle:
            if self._marks and self._marks[-1][0] == self._sink.count_sent():
                self._marks.pop()
            self._marks.append((self._sink.count_sent(), mark.position))
        now = self._clock.monotonic_s()
        if now - self._saved_at_s >= SAVE_EVERY_S:
            self._saved_at_s = now
            self._save_delivered()
            self._publish()

    def _save_delivered(self) -> None:
        """Saves the newest position of which everything before is confirmed."""
        confirmed = self._sink.count_confirmed()
        self._counts["delivered", ""] += confirmed - self._confirmed
        self._confirmed = confirmed
        newest = None
        while self._marks and self._marks[0][0] <= confirmed:
            newest = self._marks.popleft()[1]
        if newest is None or newest == self._saved.position:
            return
        progress = newest.stage == "stream" and self._streaming
        self._save(self._saved._replace(position=newest, resnapshots=0 if progress else self._saved.resnapshots))
        self._source.acknowledge(newest)
        if newest.stage == "stream":
            self._vitals.position = self._source.describe_position(newest)

    def _save(self, saved: Saved) -> None:
        try:
            self._saved = self._store.save(saved)
        except TillguardError:
            self._store_failed = True
            raise

    def _publish(self) -> None:
        for (kind, label), count in self._counts.items():
            if kind == "rows":
                self._metrics.add("tillguard_connector_rows_total", count, connector=self._name, phase=label)
            elif kind == "dead_letters":
                self._metrics.add("tillguard_connector_dead_letters_total", count, connector=self._name, reason=label)
            elif kind == "rowless":
                self._metrics.add(
                    "tillguard_connector_rowless_transactions_total", count, connector=self._name, why=label
                )
            else:
                self._metrics.add("tillguard_connector_delivered_total", count, connector=self._name)
        self._counts.clear()
        in_flight = self._sink.count_sent() - self._confirmed
        self._metrics.set("tillguard_connector_in_flight_messages", in_flight, connector=self._name)
        self._metrics.set("tillguard_connector_lag_seconds", self._vitals.lag_s, connector=self._name)

    def _finish(self) -> None:
        """Waits for Kafka, saves what was delivered, and lets go of everything."""
        try:
            self._sink.flush(FLUSH_S)
            if not self._store_failed:
                self._save_delivered()
            self._publish()
        except Interrupted:
            _LOG.info("left_unconfirmed", connector=self._name)
        finally:
            self._sink.close()
            self._source.close()
        _LOG.info("connector_stopped", connector=self._name, rows=self.tally.rows, dead_letters=self.tally.dead_letters)
