"""Rows of Parquet, CSV and JSON lines files, one by one and in file order; a bad row never stops the file.

Every row also has the column `_row`, its number from 1, for files whose rows carry no id.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.config import Files
from contract.errors import ConfigurationError

BATCH_ROWS = 2_000
LINE_BYTES_MAX = 1024 * 1024
"""A longer line of JSON is no row; it is skipped without being held in memory."""
ROW_NUMBER = "_row"


class FileRow(NamedTuple):
    """A row, or why it is none."""

    number: int
    """From 1, in file order."""
    values: Mapping[str, object] | None
    reason: str = ""
    detail: str = ""


def read(files: Files, path: Path, columns: set[str] | None = None) -> Iterator[FileRow]:
    """Every row of the file; raises ConfigurationError when it cannot be opened as what it should be.

    Args:
        files: The connector file's `source`.
        path: Where the file is.
        columns: Only these are needed (a hint that saves time with Parquet); None: all.
    """
    reader = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}[files.file_format()]
    try:
        yield from reader(files, path, columns)
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError([f"{path} cannot be read as {files.file_format()}: {type(error).__name__}"]) from None


def column_names(files: Files, path: Path) -> list[str] | None:
    """Names of the file's columns; None for JSON lines, where every row has its own."""
    try:
        if files.file_format() == "parquet":
            return [*pq.read_schema(path).names, ROW_NUMBER]
        if files.file_format() == "csv":
            with _open_text(path) as file:
                return [*next(csv.reader(file, delimiter=files.delimiter), []), ROW_NUMBER]
    except (OSError, pa.ArrowException, csv.Error) as error:
        raise ConfigurationError([f"{path} cannot be read as {files.file_format()}: {type(error).__name__}"]) from None
    return None


def _parquet(_files: Files, path: Path, columns: set[str] | None) -> Iterator[FileRow]:
    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        number = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            for values in _microseconds(batch).to_pylist():
                number += 1
                values[ROW_NUMBER] = number
                yield FileRow(number, values)


def _microseconds(batch: Any) -> Any:
    """Python has no nanoseconds; payments have no need of them."""
    for i, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(i).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(i, field.name, column)
    return batch


def _open_text(path: Path) -> IO[str]:
    # bytes that are no text stay visible as lone surrogates; the mapping then refuses the row, not the file
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(files: Files, path: Path, _columns: set[str] | None) -> Iterator[FileRow]:
    with _open_text(path) as file:
        lines = csv.reader(file, delimiter=files.delimiter)
        names = next(lines, [])
        number = 0
        while True:
            number += 1
            try:
                cells = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                yield FileRow(number, None, "malformed", f"not a row of CSV: {error}")
                continue
            if not cells:
                number -= 1
            elif len(cells) != len(names):
                yield FileRow(number, None, "malformed", f"{len(cells)} cells, the header has {len(names)}")
            else:
                values: dict[str, object] = {n: cell or None for n, cell in zip(names, cells, strict=True)}
                values[ROW_NUMBER] = number
                yield FileRow(number, values)


def _json_lines(_files: Files, path: Path, _columns: set[str] | None) -> Iterator[FileRow]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > LINE_BYTES_MAX:
                while not line.endswith(b"\n") and (line := file.readline(LINE_BYTES_MAX)):
                    pass
                yield FileRow(number, None, "oversized", f"a line of more than {LINE_BYTES_MAX} bytes")
            elif line.strip():
                yield _document(number, line)


def _document(number: int, line: bytes) -> FileRow:
    try:
        values = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            line.decode()
        except UnicodeDecodeError:
            return FileRow(number, None, "encoding", "text that is not valid UTF-8")
        return FileRow(number, None, "malformed", "not a line of JSON")
    if not isinstance(values, dict):
        return FileRow(number, None, "malformed", "not a JSON object")
    values[ROW_NUMBER] = number
    return FileRow(number, values)
