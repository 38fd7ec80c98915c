"""Rows of Parquet: only the columns that are asked for, and a value that Python cannot hold costs its row alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.config.file_settings import Files
from connectors.files.file_row import ROW_NUMBER, FileRow

BATCH_ROWS = 2_000
_REFUSED = (pa.ArrowException, ValueError, OverflowError, TypeError, ArithmeticError, KeyError)
"""KeyError: a time zone that nobody knows."""


class _Unheld:
    """Stands for a value that Python cannot hold."""

    def __init__(self, error: Exception) -> None:
        self.reason = "encoding" if isinstance(error, UnicodeError) else "field_invalid"


def read_parquet_names(path: Path) -> list[str]:
    """Names of the columns."""
    with _told():
        return [str(name) for name in pq.read_schema(path).names]


@contextmanager
def _told() -> Iterator[None]:
    """PyArrow's own errors as OSError, which readers of every kind raise for a file that is damaged."""
    try:
        yield
    except pa.ArrowException as error:
        raise OSError(type(error).__name__) from None


def read_parquet_rows(_files: Files, path: Path, columns: set[str] | None, last: int) -> Iterator[FileRow]:
    """Rows of one file; see connectors.files.rows.Reader."""
    with _told(), pq.ParquetFile(path) as file:
        number = last
        indices = [i for i, name in enumerate(file.schema_arrow.names) if columns is None or name in columns]
        names = [file.schema_arrow.names[i] for i in indices]
        for batch in file.iter_batches(BATCH_ROWS, columns=names):
            rows, whole = _rows(batch)
            for row in rows:
                number += 1
                if not whole and (refused := _refused(number, row)):
                    yield refused
                    continue
                row[ROW_NUMBER] = number
                yield FileRow(number, row)


def _rows(batch: Any) -> tuple[list[dict[str, object]], bool]:
    """The rows, and whether Python can hold every value of them."""
    names, columns = batch.schema.names, [_microseconds(column) for column in batch.columns]
    if not names:
        return [{} for _ in range(batch.num_rows)], True
    try:
        return pa.RecordBatch.from_arrays(columns, names).to_pylist(), True
    except _REFUSED:
        values = [[_value(column, i) for i in range(len(column))] for column in columns]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*values, strict=True)], False


def _refused(number: int, row: dict[str, object]) -> FileRow | None:
    for name, value in row.items():
        if isinstance(value, _Unheld):
            known = {other: held for other, held in row.items() if not isinstance(held, _Unheld)} | {ROW_NUMBER: number}
            return FileRow(number, None, value.reason, f"column {name}: a value that cannot be read", known=known)
    return None


def _value(column: Any, i: int) -> object:
    try:
        return column[i].as_py()
    except _REFUSED as error:
        return _Unheld(error)


def _microseconds(column: Any) -> Any:
    """Python has no nanoseconds; payments have no need of them."""
    wanted = _coarser(column.type)
    if wanted == column.type:
        return column
    try:
        return column.cast(wanted, safe=False)
    except pa.ArrowException:
        return column


def _coarser(kind: Any) -> Any:
    """`kind` with microseconds for nanoseconds, however deep."""
    types = pa.types
    if getattr(kind, "unit", None) == "ns":
        zone = {"tz": kind.tz} if types.is_timestamp(kind) else {}
        coarse = pa.timestamp if zone else pa.time64 if types.is_time64(kind) else pa.duration
        return coarse("us", **zone)
    if types.is_struct(kind):
        return pa.struct([field.with_type(_coarser(field.type)) for field in kind])
    if types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarser(kind.value_type)))
    if types.is_dictionary(kind):
        return _coarser(kind.value_type)
    return kind
