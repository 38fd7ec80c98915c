"""Rows of JSON lines and Parquet, one file or many: no bad row stops a file, and no line is in no count."""

import bz2
import datetime as dt
import gzip
import json
import lzma
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.config.file_settings import Files
from connectors.files.file_row import FileRow
from connectors.files.json_rows import LINE_BYTES_MAX
from connectors.files.parts import list_parts, resolve_format
from connectors.files.rows import read as read_all
from connectors.files.rows import read_column_names
from contract.errors import ConfigurationError


def files(path: Path, **changes: object) -> Files:
    return Files.model_validate({"kind": "file", "path": path, **changes})


def read(found: Files, path: Path, columns: set[str] | None = None) -> list[FileRow]:
    return list(read_all(found, list_parts(found, path), columns))


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
    found = read(files(path), path)
    assert [row.reason for row in found] == ["", "malformed", "malformed", "encoding", "malformed", "oversized", ""]
    assert [row.number for row in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[-1].values == {"id": 1, "_row": 7}


def test_parquet_times_of_nanoseconds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    moment = dt.datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=dt.UTC)
    column = pa.array([int(moment.timestamp() * 1e6) * 1000 + 7], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"at": column, "n": [1]}), path)
    (found,) = read(files(path), path, {"at"})
    assert found.values == {"at": moment, "_row": 1}


def test_a_file_that_is_something_else_is_a_fault_for_a_person(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(ConfigurationError, match="cannot be read as parquet"):
        read(files(path), path)
    with pytest.raises(ConfigurationError, match="is not there"):
        read(files(tmp_path / "none.csv"), tmp_path / "none.csv")


ODD = {
    "time64": pa.array([1, 1_000_000_123, None], pa.time64("ns")),
    "duration": pa.array([1, 2_000_000_123, None], pa.duration("ns")),
    "struct": pa.array([{"a": 1}, {"a": 2_001}, None], pa.struct([("a", pa.timestamp("ns"))])),
    "list": pa.array([[1], [2_001], None], pa.list_(pa.timestamp("ns"))),
    "year12000": pa.array([316_000_000_000, 0, None], pa.timestamp("s")),
    "year12000day": pa.array([3_700_000, 0, None], pa.date32()),
    "longspan": pa.array([2**62, 1, None], pa.duration("s")),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "decimal": pa.array([Decimal("1.50"), Decimal(2), None], pa.decimal128(20, 2)),
    "large": pa.array([2**64 - 1, 1, None], pa.uint64()),
    "half": pa.array([1.5, 2.5, None], pa.float16()),
    "latin": pa.array([b"caf\xe9", b"x", None], pa.binary()).view(pa.utf8()),
}


def odd(path: Path) -> Path:
    pq.write_table(pa.table({"id": [1, 2, 3], **ODD}), path)
    return path


def test_parquet_columns_that_nobody_mapped_are_not_read(tmp_path: Path) -> None:
    path = odd(tmp_path / "a.parquet")
    assert [row.values for row in read(files(path), path, {"id"})] == [{"id": n, "_row": n} for n in (1, 2, 3)]


@pytest.mark.parametrize("column", list(ODD))
def test_a_parquet_value_that_cannot_be_held_costs_its_row_alone(column: str, tmp_path: Path) -> None:
    path = odd(tmp_path / "a.parquet")
    found = read(files(path), path, {"id", column})
    refused = {
        "year12000": "field_invalid",
        "year12000day": "field_invalid",
        "longspan": "field_invalid",
        "latin": "encoding",
    }
    assert [row.reason for row in found] == [refused.get(column, ""), "", ""]
    if column in refused:
        assert found[0].detail == f"column {column}: a value that cannot be read"
        assert found[0].known == {"id": 1, "_row": 1}
    assert found[2].values == {"id": 3, column: None, "_row": 3}


def test_a_time_zone_that_nobody_knows_costs_rows_and_not_the_file(tmp_path: Path) -> None:
    column = pa.array([1, None], pa.timestamp("us", "Mars/Base"))
    pq.write_table(pa.table({"id": [1, 2], "at": column}), tmp_path / "a.parquet")
    found = read(files(tmp_path / "a.parquet"), tmp_path / "a.parquet", {"id", "at"})
    assert [(row.reason, row.detail) for row in found] == [
        ("field_invalid", "column at: a value that cannot be read"),
        ("", ""),
    ]


def test_parquet_values_are_what_python_calls_them(tmp_path: Path) -> None:
    path = odd(tmp_path / "a.parquet")
    second = read(files(path), path, set(ODD) - {"year12000", "year12000day", "longspan", "latin"} | {"id"})[1].values
    assert second is not None
    assert second["time64"] == dt.time(0, 0, 1)
    assert second["duration"] == dt.timedelta(seconds=2)
    assert second["struct"] == {"a": dt.datetime(1970, 1, 1, 0, 0, 0, 2)}  # noqa: DTZ001 - the file has no zone
    assert (second["dictionary"], second["decimal"], second["half"]) == ("b", Decimal("2.00"), 2.5)


def test_a_json_array_is_told_to_be_one_on_one_line_and_on_many(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in (json.dumps([{"id": 1}]), json.dumps([{"id": 1}], indent=1)):
        path.write_text(text)
        first = read(files(path), path)[0]
        assert (first.reason, first.detail[:33]) == ("malformed", "a JSON array, not JSON lines: wri")


LINES = b'{"id": 1}\n{"id": 2}\n'


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbf" + LINES, LINES.replace(b"\n", b"\r"), LINES.replace(b"\n", b"\r\n"), LINES[:-1], LINES[:10] + b"\xef\xbb\xbf" + LINES[10:]],
)  # fmt: skip
def test_json_lines_are_read_with_any_line_end_and_byte_order_mark(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert [row.values["id"] for row in read(files(path), path) if row.values] == [1, 2]


def test_json_lines_of_another_encoding_are_read_by_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "K\u00e4se"}\n{"id": 2}\n', encoding="utf-16")
    assert [row.values and row.values["id"] for row in read(files(path, encoding="utf-16"), path)] == ["K\u00e4se", 2]


def zst(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zst,
}
TABLE = b"id,x\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(500))


@pytest.mark.parametrize("packed", list(PACKED))
def test_compressed_files_are_read_and_a_truncated_one_is_one_sentence(packed: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.csv{packed}"
    path.write_bytes(PACKED[packed](TABLE))
    assert len(read(files(path), path)) == 500
    assert read_column_names(files(path), path) == ["id", "x", "_row"]
    path.write_bytes(PACKED[packed](TABLE)[:-12])
    with pytest.raises(ConfigurationError, match=f"a.csv{packed}"):
        read(files(path), path)
    path.write_bytes(TABLE)
    with pytest.raises(ConfigurationError, match=r"cannot be read as csv|is damaged"):
        read(files(path), path)


def test_a_folder_and_a_pattern_are_one_history_and_each_row_names_its_file(tmp_path: Path) -> None:
    for name in ("b/2.csv", "a/1.csv.gz", "_SUCCESS", ".hidden.csv", "b/.crc/x.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = f"id\n{name}\n{name}\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = read(files(tmp_path), tmp_path)
    assert [(row.part, row.number) for row in found] == [("1.csv.gz", 1), ("1.csv.gz", 2), ("2.csv", 3), ("2.csv", 4)]
    assert [row.values and row.values["_row"] for row in found] == [1, 2, 3, 4]
    pattern = tmp_path / "*" / "*.csv"
    assert [row.part for row in read(files(pattern), pattern)] == ["", ""]
    assert resolve_format(files(tmp_path), tmp_path).identify_format() == "csv"


def test_a_folder_of_parquet_is_known_to_be_parquet(tmp_path: Path) -> None:
    for n in (1, 2):
        pq.write_table(pa.table({"id": [n]}), tmp_path / f"part-{n}.parquet")
    found = resolve_format(files(tmp_path), tmp_path)
    assert found.identify_format() == "parquet"
    assert [row.values for row in read(found, tmp_path)] == [{"id": 1, "_row": 1}, {"id": 2, "_row": 2}]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.csv", "b.parquet"], "csv and parquet files lie together"),
        (["a.csv", "notes.txt"], r"notes.txt: ends in none of .* name the others by a pattern such as"),
        (["a.xlsx"], "save it as CSV"),
        (["a.zip"], "unpack it"),
        ([], "holds no file"),
    ],
)
def test_a_folder_that_cannot_be_one_history_is_one_sentence(names: list[str], sentence: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text("id\n")
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        list_parts(files(tmp_path), tmp_path)
    assert len(refused.value.faults) == 1
    with pytest.raises(ConfigurationError, match="fits no file"):
        list_parts(files(tmp_path / "*.jsonl"), tmp_path / "*.jsonl")


def test_text_that_is_not_of_its_encoding_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,x\n1,2\n3")
    with pytest.raises(ConfigurationError, match="not text of the encoding utf-16"):
        read(files(path, encoding="utf-16"), path)
