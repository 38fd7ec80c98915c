"""Rows of JSON lines: one document a line; a line that is none is named and the file continues."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, AnyStr

import msgspec

from connectors.config.file_settings import Files
from connectors.files.file_row import ROW_NUMBER, FileRow
from connectors.files.parts import open_bytes, open_text

LINE_BYTES_MAX = 1024 * 1024
"""A longer line of JSON is no row; it is skipped without being held in memory."""
BOM = b"\xef\xbb\xbf"
"""A byte-order mark."""
SPREAD = "not a line of JSON: where a document goes over several lines, `jq -c . FILE` writes each on one"
ARRAY = "a JSON array, not JSON lines: write one document a line, as `jq -c '.[]' FILE` does"


def read_json_rows(files: Files, path: Path, _columns: set[str] | None, last: int) -> Iterator[FileRow]:
    """Rows of one file; see connectors.files.rows.Reader. A row's number counts lines."""
    for number, line in enumerate(_lines(files, path), start=last + 1):
        if len(line) > LINE_BYTES_MAX:
            yield FileRow(number, None, "oversized", f"a line of more than {LINE_BYTES_MAX} bytes")
        elif line.strip():
            yield _document(number, line)


def _lines(files: Files, path: Path) -> Iterator[bytes]:
    if not _is_utf8(files.encoding) or _ends_lines_by_cr(path):
        with open_text(files, path) as text:
            while line := text.readline(LINE_BYTES_MAX + 1):
                if len(line) > LINE_BYTES_MAX:
                    _skip(text, "\n")
                yield line.encode("utf-8", "surrogateescape")
        return
    with open_bytes(path) as file:
        while data := file.readline(LINE_BYTES_MAX + 1):
            if len(data) > LINE_BYTES_MAX and not data.endswith(b"\n"):
                _skip(file, b"\n")
            yield data.removeprefix(BOM)


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii")


def _ends_lines_by_cr(path: Path) -> bool:
    with open_bytes(path) as file:
        first = file.readline(LINE_BYTES_MAX)
    return b"\r" in first.rstrip(b"\r\n")


def _skip(file: IO[Any], end: AnyStr) -> None:
    while (rest := file.readline(LINE_BYTES_MAX)) and not rest.endswith(end):
        pass


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        if b"NaN" not in line and b"Infinity" not in line:
            raise
        # no JSON, but what Python and JavaScript libraries write; a field that is mapped to one is a gap or a fault
        try:
            return json.loads(line)
        except ValueError:
            raise msgspec.DecodeError from None


def _why(line: bytes) -> str:
    if line.startswith(b"["):
        return ARRAY
    return SPREAD if line.startswith(b"{") and not line.endswith(b"}") else "not a line of JSON"


def _document(number: int, line: bytes) -> FileRow:
    try:
        values = _decoded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            line.decode()
        except UnicodeDecodeError:
            return FileRow(number, None, "encoding", "text that is not valid UTF-8")
        return FileRow(number, None, "malformed", _why(line.strip()))
    if not isinstance(values, dict):
        return FileRow(number, None, "malformed", ARRAY if isinstance(values, list) else "not a JSON object")
    values[ROW_NUMBER] = number
    return FileRow(number, values)
