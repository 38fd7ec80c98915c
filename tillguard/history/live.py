"""Fills a retailer's live windows from a history file: the pass that training makes, into the windows that serve (ADR 0010).

Invariant: a transaction counts once, whether it comes by a file or by a connector, first or later. Killed at any moment, a
load continues where it was when it is started again, and leaves the same windows.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contract.clock import from_epoch_ms, to_epoch_ms
from contract.errors import ConfigurationError, TransientError
from contract.events import Transaction
from contract.risk import KnownOutcome
from contract.settings import Settings
from scoring.ports import StoreUnavailableError
from scoring.store.client import RedisClient
from scoring.store.coverage import read_coverage
from scoring.store.history import HELD_S, HistoryRecords, LoadRecord, Span
from tillguard.history import reading
from tillguard.history.passes import HistoryPass, Learned, Passed, Way
from tillguard.history.reading import LabelQueue
from tillguard.wiring.stores import make_window_store
from trainer.feeds import outcome_feed

WAY = Way("", "", batch_max=64, in_flight_max=2)
"""Small batches: a live transaction waits behind at most one of them in Redis."""
SHARE = 0.25
"""Of the time that a load may take while live transactions come."""
OTHERS_FOR_S = 10.0
"""After a live transaction was noticed, it is taken for granted for so long that others follow."""
REST_MAX_S = 1.0
NOTED_EVERY_S = HELD_S / 6

Progress = Callable[[int], None]


class Loaded(NamedTuple):
    """What became of a load."""

    applied: int
    """New to the live windows."""
    known: int
    """Were in the live windows already."""
    left: int
    """Left out: of a time that the live windows know themselves."""
    repeated: int
    refused: Counter[str]
    outcomes: int
    """Labels that became known up to now."""
    labels_later: int
    """Labels that become known only later, or of transactions that were left out."""
    first_ms: int | None
    last_ms: int | None
    """event_time of the oldest and the newest transaction that was taken."""
    seconds: float
    told: list[KnownOutcome]
    """The same labels as messages, of those that still act on a risk."""


@dataclass(slots=True)
class Pace:
    """Decides how long to rest after a batch, so that a load takes SHARE of the time while others use the store, else all of it."""

    newest_seq: int | None = None
    others_until_s: float = float("-inf")

    def compute_rest_s(self, new: int, newest_seq: int, seconds: float, now_s: float) -> float:
        """After a batch that took `seconds`, of which `new` transactions were new and the last was applied as `newest_seq`."""
        if self.newest_seq is not None and newest_seq - self.newest_seq > new:
            self.others_until_s = now_s + OTHERS_FOR_S
        self.newest_seq = max(newest_seq, self.newest_seq or 0)
        return min(REST_MAX_S, seconds * (1 - SHARE) / SHARE) if now_s < self.others_until_s else 0.0


@dataclass(slots=True)
class _Account:
    """What a load has done so far."""

    records: HistoryRecords
    known_span: Span | None
    taken: Span | None
    progress: Progress | None
    pace: Pace = field(default_factory=Pace)
    applied: int = 0
    known: int = 0
    left: int = 0
    outcomes: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    noted_s: float = float("-inf")

    def unknown(self, rows: Iterator[Transaction]) -> Iterator[Transaction]:
        """Those that the live windows do not know themselves."""
        for row in rows:
            if self.known_span is not None and self.known_span.has(to_epoch_ms(row.event_time)):
                self.left += 1
            else:
                yield row

    def take(self, passed: Passed) -> None:
        new = int(np.count_nonzero(passed.applied.first))
        self.applied, self.known = self.applied + new, self.known + len(passed.times_ms) - new
        self.first_ms = passed.times_ms[0] if self.first_ms is None else self.first_ms
        self.last_ms = passed.times_ms[-1]
        now_s = time.monotonic()
        if now_s - self.noted_s > NOTED_EVERY_S:
            self.noted_s = now_s
            self.note(complete=False)
        if self.progress is not None:
            self.progress(self.applied + self.known)
        rest_s = (
            self.pace.compute_rest_s(new, int(passed.applied.applied_seq.max()), passed.seconds, now_s) if new else 0.0
        )
        if rest_s > 0:
            time.sleep(rest_s)

    def note(self, *, complete: bool) -> None:
        """Keeps the place, and what was done, for whoever continues."""
        self.records.renew()
        taken = extend_span(self.taken, self.first_ms, self.last_ms)
        if complete:
            self.records.write(LoadRecord(True, None, taken, self.records.count_applied()))
        else:
            self.records.write(LoadRecord(False, self.known_span, taken, 0))

    def count_outcome(self, _: Learned) -> None:
        self.outcomes += 1


def load(
    settings: Settings,
    file: Path,
    mapping: Path | None,
    *,
    now: datetime,
    before: datetime | None = None,
    progress: Progress | None = None,
) -> Loaded | str:
    """Takes the history in `file` into the live windows, with what became known of it at the time when it became known.

    Args:
        settings: the retailer's.
        file: the history, as `tillguard.history.reading.open_file` reads it.
        mapping: likewise.
        now: wall-clock time: nothing later is taken, and labels that become known later are not.
        before: take only transactions with an earlier event_time; None: those that the live windows do not know themselves.
        progress: told the number of transactions done.

    Returns what became of it, or in a sentence why the live windows were left as they are. Raises ConfigurationError (files,
    mapping), TrainingRefusedError (no transaction), TransientError (Redis does not answer; the same call continues).
    """
    started_s = time.monotonic()
    try:
        with closing(RedisClient(settings.redis)) as client, _place(settings) as records:
            found = records.read()
            begin_ms = read_coverage(client, settings.retailer).windows_from_ms
            known = find_known_span(
                found, records.count_applied(), begin_ms, None if before is None else to_epoch_ms(before)
            )
            if isinstance(known, str):
                return known
            account = _Account(records, known, None if found is None else found.taken, progress)
            account.note(complete=False)
            one, seen = _pass(settings, file, mapping, now, account)
            account.note(complete=True)
    except StoreUnavailableError as error:
        raise TransientError(f"Redis did not take the history: {error}; the same command continues") from None
    return Loaded(
        account.applied, account.known, account.left, one.repeated, one.refused, account.outcomes, len(seen.queue or ()),
        account.first_ms, account.last_ms, time.monotonic() - started_s,
        outcome_feed.read_from_history(settings, one.list_recent(), seen.log, now),
    )  # fmt: skip


def require_store(settings: Settings) -> None:
    """Raises TransientError where Redis does not answer: better known before minutes of work."""
    try:
        with closing(HistoryRecords(settings)) as records:
            records.count_applied()
    except StoreUnavailableError as error:
        raise TransientError(
            f"the live windows cannot be filled: {error}. Start Redis, or leave them as they are with --no-load"
        ) from None


def _pass(
    settings: Settings, file: Path, mapping: Path | None, now: datetime, account: _Account
) -> tuple[HistoryPass, reading.Found]:
    seen = reading.Found(queue=LabelQueue(settings.trainer.label_delay_days))
    rows = reading.open_file(settings, file, mapping, now, seen)
    store = make_window_store(settings)
    try:
        one = HistoryPass(
            settings, store, account.take, now, way=WAY, labels=seen.queue, on_outcome=account.count_outcome
        )
        one.run(account.unknown(rows))
        one.learn_until(to_epoch_ms(now) + 1)
    finally:
        store.close()
    return one, seen


def find_known_span(
    found: LoadRecord | None, applied: int, begin_ms: int | None, before_ms: int | None
) -> Span | str | None:
    """What a load leaves out because the live windows know it themselves, or in a sentence why nothing may be loaded; pure.

    Args:
        found: what was loaded before.
        applied: how many transactions the live windows have taken.
        begin_ms: event_time of the earliest of them; None where nothing says it.
        before_ms: the limit that the operator gave.
    """
    if before_ms is not None:
        return Span(before_ms, None)
    if found is not None and not found.complete:
        return found.known
    taken = None if found is None else found.taken
    if taken is not None and found is not None and applied == found.applied:
        return taken  # nothing else came: a file that continues where the last one ended may follow it
    begins = [each for each in (begin_ms, None if taken is None else taken.from_ms) if each is not None]
    if begins:
        return Span(min(begins), None)
    if applied:
        return (
            f"they hold {applied:,} transactions already, and nothing says since when: what is in them and in the file might count "
            "twice. `tillguard history load --before TIME` takes what is older than the first of them"
        )
    return None


def extend_span(taken: Span | None, first_ms: int | None, last_ms: int | None) -> Span | None:
    """`taken` and what lies from `first_ms` to `last_ms`, as one span; pure."""
    if first_ms is None or last_ms is None:
        return taken
    if taken is None or taken.to_ms is None:
        return Span(first_ms, last_ms)
    return Span(min(first_ms, taken.from_ms), max(last_ms, taken.to_ms))


@contextmanager
def _place(settings: Settings) -> Iterator[HistoryRecords]:
    """One load at a time."""
    with closing(HistoryRecords(settings)) as records:
        if not records.acquire():
            raise ConfigurationError(
                [
                    f"another process loads a history of {settings.retailer} now; one that was killed frees its place within {HELD_S} s"
                ]
            )
        try:
            yield records
        finally:
            records.release()


def describe_load(loaded: "Loaded | str") -> str:
    """What became of a load, for a person; pure."""
    if isinstance(loaded, str):
        return f"Live windows left as they are: {loaded}."
    if loaded.first_ms is None or loaded.last_ms is None:
        return (
            f"Live windows left as they are: they begin before the file and know its {loaded.left:,} transactions themselves. Where "
            "that is not so, `tillguard history load --before TIME` says where they begin."
        )
    first, last = from_epoch_ms(loaded.first_ms), from_epoch_ms(loaded.last_ms)
    text = (
        f"Live windows hold the history from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC: {loaded.applied:,} transactions "
        f"new, {loaded.known:,} known before, {loaded.outcomes:,} labels at their time ({loaded.seconds:.1f} s)."
    )
    left = {
        "of a time that the live windows know themselves": loaded.left,
        "repeated": loaded.repeated,
        **{f"unusable ({reason})": count for reason, count in loaded.refused.most_common()},
        "labels that become known later": loaded.labels_later,
    }
    said = [f"{count:,} {what}" for what, count in left.items() if count]
    return f"{text} Left out: {', '.join(said)}." if said else text
