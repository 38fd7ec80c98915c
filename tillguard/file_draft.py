"""Looks at files for `connector new`: how they are written, which columns they have, and what their values seem to be."""

from pathlib import Path

from connectors.files.config import ending, files_at
from connectors.files.parts import parts, resolved
from connectors.files.rows import ROW_NUMBER, column_names, read, spread
from connectors.files.text_settings import disguise, text_settings
from connectors.guess import Guess, guess, paths
from contract.errors import ConfigurationError

LOOKED_AT = 1_000
"""Rows."""
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
    if (told := disguise(files, found[0])) is not None:
        raise ConfigurationError([f"{found[0].name} {told}"])
    settings |= text_settings(files, found[0])
    files = resolved(files_at(where, settings), where.parent)
    looked = spread(read(files, found), LOOKED_AT)
    rows = [row.values for row in looked if row.values is not None]
    if not rows:
        why = f": {looked[0].detail}" if looked else ""
        raise ConfigurationError([f"{path} holds no row to guess from{why}"])
    names = column_names(files, found[0]) or paths(rows)
    made = guess([name for name in names if name != ROW_NUMBER], None, rows)
    numbers = made.numbers
    if numbers is not None and (numbers.decimal, numbers.thousands) != (None, None):
        settings |= {"decimal": numbers.decimal, "thousands": numbers.thousands}
    return made, {name: value for name, value in settings.items() if value is not None}
