"""Which settings a text file needs to be read, by a look at its first bytes."""

from itertools import islice
from pathlib import Path

from connectors.config.file_settings import Files
from connectors.files.looks import guess_delimiter, guess_disguise, guess_encoding
from connectors.files.parts import open_bytes, open_text
from connectors.files.rows import READ_ERRORS, describe_unreadable
from contract.errors import ConfigurationError

HEAD_BYTES = 4 * 1024 * 1024
HEAD_LINES = 200


def find_text_settings(files: Files, path: Path) -> dict[str, object]:
    """`encoding` and `delimiter` of a file, where what `files` says does not fit; raises ConfigurationError."""
    form = files.identify_format(path)
    if form == "parquet":
        return {}
    try:
        encoding = _encoding(path)
        found: dict[str, object] = {"encoding": encoding} if _differs(encoding, files.encoding) else {}
        if form == "csv":
            delimiter = _delimiter(files.model_copy(update=found), path)
            found |= {"delimiter": delimiter} if delimiter not in (None, files.get_separator(path)) else {}
    except READ_ERRORS as error:
        raise ConfigurationError([describe_unreadable(files, path, 0, error)]) from None
    return found


def find_disguise(files: Files, path: Path) -> str | None:
    """What a file is that should be text and is not, with the remedy; None where it may be what its name says."""
    if files.identify_format(path) == "parquet":
        return None
    try:
        with open_bytes(path) as file:
            return guess_disguise(file.read(64))
    except READ_ERRORS:
        return None  # reading its rows tells why


def _differs(fitting: str, given: str) -> bool:
    """Whether the guess should be told: of encodings of one byte a character it cannot know which is meant."""
    usual = given.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig", "ascii")
    wide = ("utf-16", "utf-32")
    return fitting.startswith(wide) != given.lower().startswith(wide) or (usual and fitting != "utf-8")


def _encoding(path: Path) -> str:
    with open_bytes(path) as file:
        return guess_encoding(file.read(HEAD_BYTES))


def _delimiter(files: Files, path: Path) -> str | None:
    with open_text(files, path) as text:
        lines = [
            line
            for line in islice(text, HEAD_LINES)
            if line.strip() and not line.lstrip('\ufeff"').lower().startswith("sep=")
        ]
    return guess_delimiter(lines)
