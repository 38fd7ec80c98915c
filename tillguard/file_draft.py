"""Looks at files for `connector new`: how they are written, which columns they have, and what their values seem to be."""

from itertools import islice
from pathlib import Path

from connectors.files.config import Files, ending, files_at
from connectors.files.looks import guess_delimiter, guess_encoding
from connectors.files.parts import open_bytes, open_text, parts, resolved
from connectors.files.rows import READ_ERRORS, ROW_NUMBER, column_names, read
from connectors.guess import Guess, guess, paths
from contract.errors import ConfigurationError

LOOKED_AT = 1_000
"""Rows."""
HEAD_BYTES = 4 * 1024 * 1024
HEAD_LINES = 200
PLAIN = (".txt", ".dat", ".tab", ".data")
"""Endings of text that is most often CSV."""


def look_at_files(path: Path) -> tuple[Guess, dict[str, object]]:
    """What the columns seem to be, and the settings of `source` without which the files could not be read.

    Raises ConfigurationError where they cannot be read at all.
    """
    where = path.absolute()
    settings: dict[str, object] = {"format": "csv"} if ending(where) in PLAIN else {}
    files = resolved(files_at(where, settings), where.parent)
    found = parts(files, where)
    settings |= text_settings(files, found[0])
    files = resolved(files_at(where, settings), where.parent)
    rows = [row.values for row in islice(read(files, found), LOOKED_AT) if row.values is not None]
    names = column_names(files, found[0])
    names = paths(rows) if names is None else names
    if not names or names == [ROW_NUMBER]:
        raise ConfigurationError([f"{path} holds no row to guess from"])
    made = guess([name for name in names if name != ROW_NUMBER], None, rows)
    numbers = made.numbers
    if numbers is not None and (numbers.decimal, numbers.thousands) != (None, None):
        settings |= {"decimal": numbers.decimal, "thousands": numbers.thousands}
    return made, {name: value for name, value in settings.items() if value is not None}


def text_settings(files: Files, path: Path) -> dict[str, object]:
    """`encoding` and `delimiter` of a text file, where they are not the usual ones; raises ConfigurationError."""
    form = files.file_format(path)
    if form == "parquet":
        return {}
    try:
        encoding = _encoding(path)
        found: dict[str, object] = {} if encoding == "utf-8" else {"encoding": encoding}
        if form == "csv":
            delimiter = _delimiter(files.model_copy(update=found), path)
            found |= {"delimiter": delimiter} if delimiter not in (None, files.separator(path)) else {}
    except READ_ERRORS as error:
        raise ConfigurationError(
            [f"{path} cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"]
        ) from None
    return found


def _encoding(path: Path) -> str:
    with open_bytes(path) as file:
        return guess_encoding(file.read(HEAD_BYTES))


def _delimiter(files: Files, path: Path) -> str | None:
    with open_text(files, path) as text:
        lines = [line for line in islice(text, HEAD_LINES) if line.strip() and not line.lower().startswith("sep=")]
    return guess_delimiter(lines)
