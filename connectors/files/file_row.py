"""One row of a file, or why it is none."""

from collections.abc import Mapping
from typing import NamedTuple

ROW_NUMBER = "_row"
"""A column that every row has: its number from 1 over all files, for files whose rows carry no id."""


class FileRow(NamedTuple):
    """A row, or why it is none."""

    number: int
    """From 1, in file order, over all files."""
    values: Mapping[str, object] | None
    reason: str = ""
    detail: str = ""
    part: str = ""
    """The file's name, where there are several."""
    known: Mapping[str, object] | None = None
    """What was read of a row that is none, its key among it if all went well."""
