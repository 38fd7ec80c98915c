"""Puts the rows of a file into event-time order with bounded memory: sorted runs on disk, then one merge.

A file that is in order already is passed through. Rows without a readable event time come first: they become dead letters.
"""

import heapq
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import NamedTuple

from connectors.files.file_row import FileRow
from contract.errors import TillguardError

RUN_ROWS = 50_000
"""Rows sorted in memory at once: some 50 MB."""
RUNS_MAX = 64
"""Runs merged at once; more are merged in stages, so that open files stay few."""
BLOCK_ROWS = 64
"""Rows written and read at once: their columns' names are then written once."""
NO_TIME = -(2**62)

TimeOf = Callable[[FileRow], int | None]
"""Event time in ms; None where the row has none that can be read."""


class _Keyed(NamedTuple):
    time_ms: int
    number: int
    row: FileRow


def sort_rows(
    rows: Callable[[], Iterable[FileRow]], time_of: TimeOf, counted: Callable[[int], None] = lambda _: None
) -> Iterator[FileRow]:
    """Rows by event time, ties in file order.

    Args:
        rows: Reads the file from the start; called once or twice.
        time_of: Reads a row's event time.
        counted: Called with the number of all rows, before the first is given.
    """
    count = count_sorted(rows(), time_of)
    if count is not None:
        counted(count)
        yield from rows()
        return
    with _folder() as folder:
        runs, count = _write_runs(rows(), time_of, Path(folder.name))
        counted(count)
        yield from (keyed.row for keyed in _merged(runs))


@contextmanager
def _folder() -> Iterator["TemporaryDirectory[str]"]:
    try:
        folder = TemporaryDirectory(prefix="tillguard-replay-")
    except OSError as error:
        raise TillguardError(f"no folder for temporary files: {error.strerror} (TMPDIR chooses the place)") from None
    with folder:
        yield folder


def count_sorted(rows: Iterable[FileRow], time_of: TimeOf) -> int | None:
    """How many rows there are, each at or after the one before it in event time; None, and no further, at one that is not."""
    last, count = NO_TIME, 0
    for row in rows:
        time_ms = _key(row, time_of)
        if time_ms < last:
            return None
        last, count = time_ms, count + 1
    return count


def _key(row: FileRow, time_of: TimeOf) -> int:
    time_ms = time_of(row) if row.values is not None else None
    return NO_TIME if time_ms is None else time_ms


def _write_runs(rows: Iterable[FileRow], time_of: TimeOf, folder: Path) -> tuple[list[Path], int]:
    """Sorted runs on disk, and how many rows they hold."""
    runs: list[Path] = []
    chunk: list[_Keyed] = []
    count = 0

    def spill() -> None:
        chunk.sort(key=lambda keyed: keyed[:2])
        runs.append(_write(iter(chunk), folder / f"run-{len(runs)}-{chunk[0].number}"))
        chunk.clear()
        if len(runs) == RUNS_MAX:
            merged = _write(_merged(runs), folder / f"merged-{runs[-1].name}")
            for run in runs:
                run.unlink()
            runs[:] = [merged]

    for row in rows:
        count += 1
        chunk.append(_Keyed(_key(row, time_of), row.number, row))
        if len(chunk) == RUN_ROWS:
            spill()
    if chunk:
        spill()
    return runs, count


def _write(rows: Iterator[_Keyed], path: Path) -> Path:
    try:
        with path.open("wb") as file:
            while block := [(keyed.time_ms, keyed.number, tuple(keyed.row)) for keyed in islice(rows, BLOCK_ROWS)]:
                # pickle keeps every type that a row can hold: times without a zone, durations, integers of any size
                data = pickle.dumps(block, pickle.HIGHEST_PROTOCOL)
                file.write(len(data).to_bytes(4, "big"))
                file.write(data)
    except OSError as error:
        raise TillguardError(
            f"the file is not in time order, and its rows do not fit in {gettempdir()} to be sorted: {error.strerror} "
            "(TMPDIR chooses the place)"
        ) from None
    return path


def _read(path: Path) -> Iterator[_Keyed]:
    with path.open("rb") as file:
        while head := file.read(4):
            # written by this process into a folder that nobody else can open
            for time_ms, number, row in pickle.loads(file.read(int.from_bytes(head, "big"))):  # noqa: S301
                yield _Keyed(time_ms, number, FileRow(*row))


def _merged(runs: list[Path]) -> Iterator[_Keyed]:
    return heapq.merge(*(_read(run) for run in runs), key=lambda keyed: keyed[:2])
