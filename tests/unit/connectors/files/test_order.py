"""Any order of rows is replayed by event time, and sorting changes no value."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.files import order
from connectors.files.file_row import FileRow
from connectors.files.order import sort_rows
from contract.errors import TillguardError


def time_of(row: FileRow) -> int | None:
    value = (row.values or {}).get("t")
    return value if isinstance(value, int) else None


def rows(times: list[int | None]) -> list[FileRow]:
    return [FileRow(number, {"t": t, "_row": number}) for number, t in enumerate(times, start=1)]


@given(times=st.lists(st.none() | st.integers(-(2**50), 2**50), max_size=60))
def test_rows_come_by_event_time_and_ties_in_file_order(times: list[int | None]) -> None:
    given_rows = rows(times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "RUN_ROWS", 5)
        patch.setattr(order, "RUNS_MAX", 3)
        counts: list[int] = []
        found = list(sort_rows(lambda: given_rows, time_of, counts.append))
    assert counts == [len(times)]
    expected = sorted(given_rows, key=lambda row: (order._key(row, time_of), row.number))
    assert [row.number for row in found] == [row.number for row in expected]
    assert [row.values for row in found] == [given_rows[row.number - 1].values for row in found]


def test_a_file_in_order_is_read_twice_and_never_sorted() -> None:
    reads = 0

    def source() -> Iterator[FileRow]:
        nonlocal reads
        reads += 1
        yield from rows([1, 2, 2, 3])

    assert [row.number for row in sort_rows(source, time_of)] == [1, 2, 3, 4]
    assert reads == 2


ODD = {
    "n": 123456789012345678901234567890,
    "naive": datetime(2026, 1, 1),  # noqa: DTZ001 - what a file without zones holds
    "aware": datetime(2026, 1, 1, tzinfo=UTC),
    "day": date(2026, 1, 1),
    "time": time(8, 30),
    "span": timedelta(seconds=30),
    "money": Decimal("12.50"),
    "uuid": UUID(int=7),
    "bytes": b"\xff",
    "lone": "caf\udce9",
    "nested": {"a": [1, None, {"b": 2.5}]},
}


def test_a_row_is_the_same_after_sorting_whatever_it_holds() -> None:
    given_rows = [
        FileRow(1, {"t": 2, **ODD}, part="b.csv"),
        FileRow(2, {"t": 1, **ODD}),
        FileRow(3, None, "malformed", "why"),
    ]
    assert list(sort_rows(lambda: given_rows, time_of)) == [given_rows[2], given_rows[1], given_rows[0]]


def test_a_folder_for_temporary_files_that_is_full_or_gone_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(type(tmp_path)):  # type: ignore[misc]
        def open(self, *_args: object, **_options: object) -> object:
            raise OSError(28, "No space left on device")

    with pytest.raises(TillguardError, match=r"do not fit in .*: No space left on device \(TMPDIR chooses the place\)"):
        order._write(iter([order._Keyed(1, 1, FileRow(1, {}))]), Full(tmp_path / "run"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(TillguardError, match="no folder for temporary files: No such file or directory"):
        list(sort_rows(lambda: rows([2, 1]), time_of))
