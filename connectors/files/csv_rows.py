"""Rows of CSV. Every line is accounted for: it belongs to a row that is read, or to a dead letter that names its lines.

A quotation mark that opens a field and is never closed would swallow what follows. So where a record over several lines is
not well formed, only its first line is refused, and reading continues at the second.
"""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from connectors.config.file_settings import Files
from connectors.files.file_row import ROW_NUMBER, FileRow
from connectors.files.parts import open_text

LINE_CHARS_MAX = 128 * 1024
"""A longer line is no row; it is skipped without being held in memory."""
RECORD_LINES_MAX = 200
"""A quoted field over more lines is taken for one whose closing mark is missing."""
_BOM = "\ufeff"
_DIRECTIVE = "sep="
"""Excel's first line that names the delimiter."""


class Record(NamedTuple):
    """The cells of a row, or why there are none."""

    cells: list[str] | None
    reason: str = ""
    detail: str = ""


class OpenQuoteError(Exception):
    """A quoted field continues for too many lines."""


class Lines:
    """The lines of a file, numbered from 1, some of which may be put back."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._back: deque[str] = deque()
        self.number = 0

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._text.readline(LINE_CHARS_MAX + 1)
        if not line:
            raise StopIteration
        self.number += 1
        return line

    def put_back(self, lines: list[str]) -> None:
        """They come again, in their order."""
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)

    def skip_rest(self, line: str) -> None:
        """Passes over what follows of a line that is too long."""
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(LINE_CHARS_MAX)


class Records:
    """Reads records that hold quotation marks, beginning at a line."""

    def __init__(self, lines: Lines, delimiter: str) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._first: str | None = None
        self._taken: list[str] = []
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def __iter__(self) -> "Records":
        return self

    def __next__(self) -> str:
        """What the reader asks for: the first line, and more while a quoted field is open."""
        if self._first is not None:
            line, self._first = self._first, None
        elif len(self._taken) < RECORD_LINES_MAX:
            line = next(self._lines)
        else:
            raise OpenQuoteError
        self._taken.append(line)
        return line

    def record(self, line: str, width: int | None) -> Record:
        """The record that begins with `line`; `width` cells are expected."""
        self._first, self._taken = line, []
        start = self._lines.number
        try:
            cells = next(self._reader)
        except (csv.Error, OpenQuoteError) as error:
            if len(self._taken) == 1 and "expected after" in str(error):
                return self._one_line(line)
            return self._refused(start, "is not closed properly" if isinstance(error, csv.Error) else "stays open")
        if len(self._taken) == 1 or width is None:
            return Record(cells)
        if len(cells) != width:
            return self._refused(start, f"makes {len(cells)} cells, the header has {width}")
        if any(inner.count(self._delimiter) == width - 1 for inner in self._taken[1:-1]):
            last = start + len(self._taken) - 1
            detail = f"lines {start} to {last} are one quoted field but look like rows: is a quotation mark missing?"
            return Record(None, "malformed", detail)
        return Record(cells)

    def _refused(self, start: int, what: str) -> Record:
        """Refuses the first line alone: the others may be rows."""
        self._lines.put_back(self._taken[1:])
        return Record(None, "malformed", f"line {start}: a quotation mark opens a field and {what}")

    def _one_line(self, line: str) -> Record:
        """Text behind a closing mark, as `"5" pipe"`, is taken as it stands, unless a field stays open at the end."""
        cells = next(csv.reader([line], delimiter=self._delimiter))
        if any("\n" in cell or "\r" in cell for cell in cells):
            return self._refused(self._lines.number, "stays open")
        return Record(cells)


def read_header(files: Files, path: Path) -> list[str]:
    """Names of the columns; empty for an empty file."""
    with open_text(files, path) as text:
        return _names(Lines(text), files.get_separator(path))


def read_csv_rows(files: Files, path: Path, _columns: set[str] | None, last: int) -> Iterator[FileRow]:
    """Rows of one file; see connectors.files.rows.Reader. Empty lines do not count."""
    delimiter, empty = files.get_separator(path), frozenset(("", *files.nulls))
    with open_text(files, path) as text:
        lines = Lines(text)
        records, one_line = Records(lines, delimiter), _OneLine(delimiter)
        names = _names(lines, delimiter)
        number, width = last, len(names)
        for line in lines:
            if '"' in line or len(line) > LINE_CHARS_MAX or line[0] == _BOM:
                cells = one_line.cells(line)
                if cells is None:
                    record = _difficult(line, lines, records, width)
                    if record.cells is None:
                        number += 1
                        yield FileRow(number, None, record.reason, record.detail)
                        continue
                    cells = record.cells
            else:
                bare = line.rstrip("\r\n")
                if not bare:
                    continue
                cells = bare.split(delimiter)
            number += 1
            if len(cells) != width:
                yield FileRow(number, None, "malformed", f"{len(cells)} cells, the header has {width}")
                continue
            values: dict[str, object] = {
                name: None if cell in empty else cell for name, cell in zip(names, cells, strict=True)
            }
            values[ROW_NUMBER] = number
            yield FileRow(number, values)


class _OneLine:
    """Reads lines that are well formed by themselves, which nearly all are; one reader for all, since making one takes long."""

    def __init__(self, delimiter: str) -> None:
        self._line: list[str] = []
        self._reader = csv.reader(iter(self._line.pop, None), delimiter=delimiter, strict=True)

    def cells(self, line: str) -> list[str] | None:
        """The cells of `line`; None where it is not well formed by itself."""
        if len(line) > LINE_CHARS_MAX or line[0] == _BOM:
            return None
        self._line.append(line)
        try:
            return next(self._reader)
        except (csv.Error, IndexError):  # a field that stays open asks for a line more than there is
            return None


def _difficult(line: str, lines: Lines, records: Records, width: int | None) -> Record:
    if len(line) > LINE_CHARS_MAX:
        lines.skip_rest(line)
        return Record(None, "oversized", f"line {lines.number}: more than {LINE_CHARS_MAX:,} characters")
    return records.record(line.removeprefix(_BOM), width)


def _names(lines: Lines, delimiter: str) -> list[str]:
    """Reads the header: the first line that is not empty, and not Excel's `sep=;`."""
    records = Records(lines, delimiter)
    for line in lines:
        bare = line.removeprefix(_BOM).rstrip("\r\n").strip('"')
        if bare and not (bare.lower().startswith(_DIRECTIVE) and len(bare) == len(_DIRECTIVE) + 1):
            return _difficult(line, lines, records, None).cells or []
    return []
