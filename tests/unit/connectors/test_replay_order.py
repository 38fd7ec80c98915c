"""Files: any order of rows is replayed by event time, and no bad row stops a file."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import replay_order
from connectors.config import Files
from connectors.file_rows import LINE_BYTES_MAX, FileRow, column_names, read
from connectors.replay_order import in_order
from contract.errors import ConfigurationError


def time_of(row: FileRow) -> int | None:
    value = (row.values or {}).get("t")
    return value if isinstance(value, int) else None


def rows(times: list[int | None]) -> list[FileRow]:
    return [FileRow(number, {"t": t, "_row": number}) for number, t in enumerate(times, start=1)]


@given(times=st.lists(st.none() | st.integers(-(2**50), 2**50), max_size=60))
def test_rows_come_by_event_time_and_ties_in_file_order(times: list[int | None]) -> None:
    given_rows = rows(times)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_order, "RUN_ROWS", 5)
        patch.setattr(replay_order, "RUNS_MAX", 3)
        found = list(in_order(lambda: given_rows, time_of))
    expected = sorted(given_rows, key=lambda row: (replay_order._key(row, time_of), row.number))
    assert [row.number for row in found] == [row.number for row in expected]
    assert [row.values for row in found] == [given_rows[row.number - 1].values for row in found]


def test_a_file_in_order_is_read_twice_and_never_sorted() -> None:
    reads = 0

    def source() -> Iterator[FileRow]:
        nonlocal reads
        reads += 1
        yield from rows([1, 2, 2, 3])

    assert [row.number for row in in_order(source, time_of)] == [1, 2, 3, 4]
    assert reads == 2


def files(path: Path, **changes: object) -> Files:
    return Files.model_validate({"kind": "file", "path": path, **changes})


def test_lines_that_are_no_rows_are_named_and_the_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"id": 1}).encode()
    path.write_bytes(
        b"\n".join(
            [
                good,
                b"{broken",
                b'"text"',
                b'{"id": "\xff"}',
                b"[" * 5000,
                b'{"x": "' + b"y" * LINE_BYTES_MAX + b'"}',
                good,
            ]
        )
    )
    found = list(read(files(path), path))
    assert [row.reason for row in found] == ["", "malformed", "malformed", "encoding", "malformed", "oversized", ""]
    assert [row.number for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[-1].values == {"id": 1, "_row": 7}


def test_cells_that_do_not_fit_the_header_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid;name\n1;a\n2\n3;b;c\n\n4;\n5;caf\xe9\n6;" + b"x" * 200_000 + b"\n7;z\n")
    found = list(read(files(path, delimiter=";"), path))
    assert [row.reason for row in found] == ["", "malformed", "malformed", "", "", "malformed", ""]
    assert found[0].values == {"id": "1", "name": "a", "_row": 1}
    assert found[3].values == {"id": "4", "name": None, "_row": 4}
    assert found[4].values is not None
    assert found[4].values["name"] == "caf\udce9"
    assert column_names(files(path, delimiter=";"), path) == ["id", "name", "_row"]


def test_parquet_times_of_nanoseconds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    moment = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
    column = pa.array([int(moment.timestamp() * 1e6) * 1000 + 7], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"at": column, "n": [1]}), path)
    (found,) = read(files(path), path, {"at"})
    assert found.values == {"at": moment, "_row": 1}


def test_a_file_that_is_something_else_is_a_fault_for_a_person(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(ConfigurationError, match="cannot be read as parquet"):
        list(read(files(path), path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(read(files(tmp_path / "none.csv"), tmp_path / "none.csv"))
