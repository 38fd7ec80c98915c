"""Rows of Parquet, CSV and JSON lines files, one by one and in file order; a bad row never stops the file.

Every row also has the column `_row`, its number from 1 over all files, for files whose rows carry no id.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from connectors.config.file_settings import COMPRESSED, Files
from connectors.files.file_row import ROW_NUMBER, FileRow
from contract.errors import ConfigurationError

SPREAD_MIN = 100
"""Fewer rows to look at are the first ones."""
SPREAD_STRIDE = 200
"""Rows between two that are looked at."""
READ_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)
"""What reading a file raises that is damaged, or is not what its name says."""


Reader = Callable[[Files, Path, set[str] | None, int], Iterator[FileRow]]
"""Gives the rows of one file, those of some columns (None: all), numbered from the one after the last argument."""


def read(files: Files, paths: Sequence[Path], columns: set[str] | None = None) -> Iterator[FileRow]:
    """Every row of the files; raises ConfigurationError when one cannot be read to its end as what it should be.

    Args:
        files: The connector file's `source`.
        paths: The files, in their order.
        columns: Only these are needed (the others of Parquet are not read); None: all.
    """
    number = 0
    for path in paths:
        reader = _reader(files, path)
        try:
            for row in reader(files, path, columns, number):
                number = row.number
                yield row if len(paths) == 1 else row._replace(part=path.name)
        except READ_ERRORS as error:
            raise ConfigurationError([describe_unreadable(files, path, number, error)]) from None


def sample_rows(rows: Iterator[FileRow], limit: int) -> list[FileRow]:
    """Up to `limit` rows to look at: the first half of them from the start, the others from all over what follows.

    Files are mostly in time order, and the first rows may all be of one day: then any format of a date fits them.
    """
    found = list(islice(rows, limit))
    first = limit // 2
    if limit >= SPREAD_MIN:
        later = islice(rows, 0, (limit - first) * SPREAD_STRIDE, SPREAD_STRIDE)
        for place, row in zip(range(first, limit), later, strict=False):
            found[place] = row
    return sorted(found, key=lambda row: row.number)


def read_column_names(files: Files, path: Path) -> list[str] | None:
    """Names of the file's columns; None for JSON lines, where every row has its own."""
    form = files.identify_format(path)
    try:
        if form == "parquet":
            from connectors.files.parquet_rows import read_parquet_names  # noqa: PLC0415 - PyArrow takes a second to import

            return [*read_parquet_names(path), ROW_NUMBER]
        if form == "csv":
            from connectors.files.csv_rows import read_header  # noqa: PLC0415 - as above

            return [*read_header(files, path), ROW_NUMBER]
    except READ_ERRORS as error:
        raise ConfigurationError([describe_unreadable(files, path, 0, error)]) from None
    return None


def _reader(files: Files, path: Path) -> Reader:
    # each is imported by who needs it: PyArrow takes a second
    form = files.identify_format(path)
    if form == "parquet":
        from connectors.files.parquet_rows import read_parquet_rows  # noqa: PLC0415

        return read_parquet_rows
    if form == "csv":
        from connectors.files.csv_rows import read_csv_rows  # noqa: PLC0415

        return read_csv_rows
    from connectors.files.json_rows import read_json_rows  # noqa: PLC0415

    return read_json_rows


def describe_unreadable(files: Files, path: Path, number: int, error: Exception) -> str:
    """A sentence about a file that raised one of READ_ERRORS after row `number`."""
    form = files.identify_format(path)
    if number == 0 and path.suffix.lower() in COMPRESSED:
        return f"{path} cannot be read as {form}: is it compressed as its name says, and whole?"
    if isinstance(error, EOFError | zlib.error | lzma.LZMAError):
        return f"{path}: the compressed data is damaged or ends too early, after row {number:,}; fetch the file again"
    if isinstance(error, UnicodeError):
        return (
            f"{path}: not text of the encoding {files.encoding}, after row {number:,}; `encoding` in `source` says it"
        )
    if form == "parquet" and number == 0:
        return (
            f"{path} cannot be read as parquet ({type(error).__name__}): is it whole, and not compressed from outside?"
        )
    return f"{path} cannot be read as {form}: {getattr(error, 'strerror', None) or type(error).__name__}"
