"""Looks at files for `connector new`: how they are written, which columns they have, and what their values seem to be."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from connectors.config.file_settings import COMPRESSED, FORMATS, Files, find_ending_fault, find_files, get_ending
from connectors.drafting.guess import NULLS, Guess, guess, list_paths
from connectors.files.file_row import ROW_NUMBER, FileRow
from connectors.files.looks import guess_format, is_row
from connectors.files.parts import list_parts, open_bytes, resolve_format
from connectors.files.rows import READ_ERRORS, read, read_column_names, sample_rows
from connectors.files.source import NO_HEADER
from connectors.files.text_settings import find_disguise, find_text_settings
from contract.errors import ConfigurationError

LOOKED_AT = 1_000
"""Rows."""
HEAD_BYTES = 64 * 1024
ONE_DOCUMENT = (
    "holds one document without a time and an amount of its own: are the transactions in a list inside of it? "
    "Write each on a line, as `jq -c '.data[]' FILE` does for a list named data"
)


def look_at_files(path: Path) -> tuple[Guess, dict[str, object]]:
    """What the columns seem to be, and the settings of `source` without which the files could not be read.

    Raises ConfigurationError where they cannot be read at all.
    """
    where = path.absolute()
    settings = _format_settings(where)
    files = resolve_format(find_files(where, settings), where.parent)
    found = list_parts(files, where)
    if (told := find_disguise(files, found[0])) is not None:
        raise ConfigurationError([f"{found[0].name} {told}"])
    settings |= find_text_settings(files, found[0])
    files = resolve_format(find_files(where, settings), where.parent)
    rows = _rows(files, found, path)
    if files.identify_format() == "csv" and (nulls := {value for row in rows for value in row.values()} & NULLS):
        settings["nulls"] = sorted(map(str, nulls))
        rows = [{name: None if value in NULLS else value for name, value in row.items()} for row in rows]
    made = guess(_names(files, found[0], rows), None, rows)
    if fault := _fault(files, found[0], made, rows):
        raise ConfigurationError([f"{found[0].name} {fault}"])
    numbers = made.numbers
    if numbers is not None and (numbers.decimal, numbers.thousands) != (None, None):
        settings |= {"decimal": numbers.decimal, "thousands": numbers.thousands}
    return made, {name: value for name, value in settings.items() if value is not None}


def _format_settings(where: Path) -> dict[str, object]:
    """`format`, where the file's ending does not say it and its content does."""
    if not where.is_file() or get_ending(where) in FORMATS:
        return {}
    unsaid = get_ending(where) in ("", *COMPRESSED) or "ends in none of" in (find_ending_fault(where) or "")
    try:
        with open_bytes(where) as file:
            form = guess_format(file.read(HEAD_BYTES)) if unsaid else None
    except READ_ERRORS:
        return {}
    return {} if form is None else {"format": form}


def _rows(files: Files, found: Sequence[Path], path: Path) -> list[Mapping[str, object]]:
    """Some rows; raises ConfigurationError where most of those that were looked at cannot be read."""
    looked = sample_rows(read(files, found), LOOKED_AT)
    rows = [row.values for row in looked if row.values is not None]
    if not rows:
        why = f": {looked[0].detail}" if looked else ""
        raise ConfigurationError([f"{path} holds no row to guess from{why}{_header_doubt(looked)}"])
    refused = [row for row in looked if row.values is None]
    if len(refused) > len(rows):
        told = f"{len(refused):,} of {len(looked):,} rows that were looked at cannot be read: {refused[0].detail}"
        raise ConfigurationError([f"{path}: {told}{_header_doubt(refused)}"])
    return rows


def _header_doubt(refused: Sequence[FileRow]) -> str:
    if not any("the header has" in row.detail for row in refused):
        return ""
    return "; does the header stand in a later line, or does it lack a column?"


def _names(files: Files, path: Path, rows: Sequence[Mapping[str, object]]) -> list[str]:
    names = read_column_names(files, path)
    if names is None or any(isinstance(value, Mapping) for row in rows for value in row.values()):
        names = list_paths(rows)
    return [name for name in names if name != ROW_NUMBER]


def _fault(files: Files, path: Path, made: Guess, rows: Sequence[Mapping[str, object]]) -> str | None:
    """Why neither a time nor an amount was found, where the file itself shows it."""
    if len(rows) == 1 and isinstance(rows[0].get(made.fields.get("amount", "")), list):
        return ONE_DOCUMENT
    if made.day_and_time or "event_time" in made.fields or "amount" in made.fields:
        return None
    form = files.identify_format()
    if form == "jsonl":
        return ONE_DOCUMENT if len(rows) == 1 else None
    names = read_column_names(files, path) or []
    if names == [ROW_NUMBER]:
        return "is empty: it has no header"
    return NO_HEADER if form == "csv" and is_row(names) else None
