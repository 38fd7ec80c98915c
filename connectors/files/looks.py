"""How a file is written, guessed from its first bytes: its encoding, and what stands between its columns. Pure."""

import codecs
import csv
import re
from collections import Counter

from connectors.config.file_settings import Format

DELIMITERS = (",", ";", "\t", "|", "^", "~", "\x01", "\x1f")
_DISGUISES = {
    b"PK\x03\x04": "is a spreadsheet or a zip inside: save it as CSV (UTF-8), or unpack it",
    b"\xd0\xcf\x11\xe0": "is an old spreadsheet inside: save it as CSV (UTF-8)",
    b"\x1f\x8b": "is compressed by gzip, which its name does not say: let the name end in .gz",
    b"BZh": "is compressed by bzip2, which its name does not say: let the name end in .bz2",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd, which its name does not say: let the name end in .zst",
    b"PAR1": "is Parquet inside: say `format: parquet` in `source`",
}
_MARKUP = (b"<!doctype", b"<html", b"<table", b"<?xml")
_CONTROL = re.compile(r"[\x00\x02-\x08\x0e-\x1a]")
_MOMENT = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|[-+]?\d+[.,]\d+$")
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def guess_encoding(head: bytes) -> str:
    """The encoding that fits all of `head`, which may end inside a character.

    Which of the many encodings of one byte a character it is no program can know: cp1252 (Western Europe) where all bytes mean
    something there, else latin-1.
    """
    if head.startswith(_UTF32):
        return "utf-32"
    if head.startswith(_UTF16):
        return "utf-16"
    nuls = Counter(place % 2 for place, byte in enumerate(head[:4096]) if byte == 0)
    if nuls.total() > len(head[:4096]) // 4:
        return "utf-16-le" if nuls[1] >= nuls[0] else "utf-16-be"
    for encoding in ("utf-8", "cp1252"):
        if _decodes(head, encoding):
            return encoding
    return "latin-1"


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(head, final=False)
    except UnicodeDecodeError:
        return False
    return True


def guess_disguise(head: bytes) -> str | None:
    """What the first bytes of a file say that is no text, with the remedy; None for text."""
    if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(_MARKUP):
        return "is HTML or XML inside, as some programs save what they call a spreadsheet: save it as CSV (UTF-8)"
    return next((told for magic, told in _DISGUISES.items() if head.startswith(magic)), None)


def guess_format(head: bytes) -> Format | None:
    """How a file whose name does not say it is written; None where it is neither text nor Parquet."""
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.decode(guess_encoding(head), "ignore")
    if _CONTROL.search(text):
        return None
    return "jsonl" if text.lstrip("\ufeff \r\n\t")[:1] in ("{", "[") else "csv"


def is_row(names: list[str]) -> bool:
    """Whether the first line of a CSV holds values, a date or a price among them, instead of the columns' names."""
    return any(_MOMENT.match(name.strip()) for name in names)


def guess_delimiter(lines: list[str]) -> str | None:
    """What gives every line as many cells as the header, more than one; else what does so for most; None: one column only."""
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        widths = [len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells]
        if widths and widths[0] > 1:
            share = sum(width == widths[0] for width in widths) / len(widths)
            best = max(best or (0.0, 0, ""), (share, widths[0], delimiter))
    return best[2] if best else None
