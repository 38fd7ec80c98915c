"""Makes the read model of one retailer from its topics, for as long as it is let. Nobody waits for it, and it waits for nobody."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event
from typing import Literal

import structlog
from msgspec import Struct
from msgspec.structs import replace

from backoffice.projection.changes import Change, is_older
from backoffice.projection.gathering import gather
from backoffice.projection.record_reader import RecordReader, TopicRecord
from backoffice.projection.retailer_topics import RetailerTopics
from backoffice.projection.store import Progress, ReadModelStore
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from contract.errors import FencedError, TillguardError
from contract.settings import Settings
from runtime.locks import HeldLock, LockBusyError

BATCH_MAX = 2_000
READ_WAIT_S = 0.1
LOCK_WAIT_S = 1.0
LOOK_EVERY_S = 10.0
"""How often it looks whether topics were added or made again, and whether it still has the lock."""
PRUNE_EVERY_S = 60.0
PAUSE_MIN_S, PAUSE_MAX_S = 0.5, 30.0

Activity = Literal["starting", "waiting", "following", "failing", "stopped"]
"""`waiting`: another process has the retailer's projector. `failing`: it tries again by itself."""
log = structlog.get_logger()


class ProjectorState(Struct, frozen=True, kw_only=True):
    """How a projector does, for `/ready` and heartbeats."""

    retailer: str
    activity: Activity = "starting"
    fault: str | None = None
    """Why nothing comes in, with what to do."""
    lag_records: int | None = None
    """Not read yet; None until that is known."""
    lag_s: float | None = None
    """Age of the newest record that was taken while others wait; 0 where nothing waits."""
    records: int = 0
    """Read since the start."""
    skipped: int = 0
    """Of those, not usable; whoever must use them made dead letters of them."""
    missed: int = 0
    """Dropped by retention before they were read."""
    missing: tuple[str, ...] = ()
    """Topics that do not exist."""
    read_until: datetime | None = None
    """When the newest record that was taken was appended, by the broker's clock."""


class Projector:
    """`run` belongs to one thread; `state` may be read by any."""

    def __init__(
        self,
        settings: Settings,
        open_store: Callable[[], ReadModelStore],
        clock: Clock,
        *,
        keep_days: float,
        written: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            settings: the retailer's.
            open_store: opens the read model, for this projector alone; called again while it raises.
            clock: for what is too old, and for pauses.
            keep_days: how long transactions and what belongs to them are kept, by their own time.
            written: told the retailer after each batch that is committed, in the projector's thread.
        """
        self._settings, self._open_store, self._clock, self._written = settings, open_store, clock, written
        self._retailer, self._kept = settings.retailer, timedelta(days=keep_days)
        self._reader = RecordReader(settings.retailer, settings.base_currency, settings.rates)
        self._looked_s = self._pruned_s = float("-inf")
        self._pause_s = PAUSE_MIN_S
        self._store: ReadModelStore | None = None
        self.state = ProjectorState(retailer=settings.retailer)

    def run(self, stop: Event) -> None:
        """Until `stop` is set. Whatever fails is said in `state`, and tried again after a pause."""
        while not stop.is_set():
            try:
                self._work(stop)
            except FencedError:
                log.warning("projector_overtaken", retailer=self._retailer)
            except TillguardError as error:
                self._fail(str(error), stop)
            except Exception as error:  # noqa: BLE001 - the thread must not end; an exception's text may hold data, its kind does not
                self._fail(f"something that no rule foresaw: {type(error).__name__}", stop)
        if self._store is not None:
            self._store.close()
        self._tell(activity="stopped")

    def _work(self, stop: Event) -> None:
        store = self._store = self._store or self._open_store()
        lock = self._take_lock(store, stop)
        if lock is None:
            return
        with lock:
            progress = store.read_progress(self._retailer)
            with RetailerTopics(self._settings.kafka, self._retailer, progress.positions) as source:
                self._looked_s = self._clock.monotonic_s()
                self._tell(missing=tuple(source.missing), missed=self.state.missed + source.missed)
                while not stop.is_set() and not self._is_to_begin_again(source, lock):
                    progress = self._step(store, source, progress)

    def _take_lock(self, store: ReadModelStore, stop: Event) -> HeldLock | None:
        while not stop.is_set():
            try:
                return store.hold(self._retailer, wait_s=LOCK_WAIT_S)
            except LockBusyError as busy:
                self._tell(activity="waiting", fault=f"another process makes this read model: {busy.by}")
        return None

    def _step(self, store: ReadModelStore, source: RetailerTopics, progress: Progress) -> Progress:
        records = source.read(BATCH_MAX, READ_WAIT_S)
        if records:
            gathered = gather(self._read(records))
            progress = store.write(self._retailer, progress, gathered, source.find_positions(records))
            self._written(self._retailer)
            self._pause_s = PAUSE_MIN_S
        if self._is_due(self._pruned_s, PRUNE_EVERY_S):
            progress, more = store.prune(self._retailer, progress, self._find_horizon_ms())
            self._pruned_s = float("-inf") if more else self._clock.monotonic_s()
        self._tell_progress(source, records)
        return progress

    def _is_to_begin_again(self, source: RetailerTopics, lock: HeldLock) -> bool:
        if not self._is_due(self._looked_s, LOOK_EVERY_S):
            return False
        self._looked_s = self._clock.monotonic_s()
        return source.has_changed() or not lock.is_still_held()

    def _read(self, records: list[TopicRecord]) -> list[Change]:
        horizon_ms = self._find_horizon_ms()
        changes = [change for record in records if (change := self._reader.read(record)) is not None]
        self._tell(records=self.state.records + len(records), skipped=self.state.skipped + len(records) - len(changes))
        return [change for change in changes if not is_older(change, horizon_ms)]

    def _find_horizon_ms(self) -> int:
        return to_epoch_ms(self._clock.now() - self._kept)

    def _is_due(self, last_s: float, every_s: float) -> bool:
        return self._clock.monotonic_s() - last_s >= every_s

    def _tell_progress(self, source: RetailerTopics, records: list[TopicRecord]) -> None:
        lag = source.count_lag()
        until = from_epoch_ms(max(each.appended_ms for each in records)) if records else self.state.read_until
        behind_s = None if until is None else max(0.0, (self._clock.now() - until).total_seconds())
        self._tell(
            activity="failing" if source.fault else "following",
            fault=source.fault,
            lag_records=lag,
            lag_s=0.0 if lag == 0 else behind_s,
            read_until=until,
        )

    def _fail(self, fault: str, stop: Event) -> None:
        log.warning("projector_failed", retailer=self._retailer, fault=fault, again_after_s=self._pause_s)
        self._tell(activity="failing", fault=fault)
        stop.wait(self._pause_s)
        self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s)

    def _tell(self, **changed: object) -> None:
        self.state = replace(self.state, **changed)
