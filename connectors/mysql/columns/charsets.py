"""Text of every character set of MySQL and MariaDB. Pure and total: a byte that is no text becomes a lone surrogate.

`connectors.values.check_text` refuses lone surrogates, so a bad text is one field's fault, and only where somebody maps it.
"""

import codecs
import re
from collections.abc import Callable
from functools import cache

from connectors.mysql.columns.charset_tables import CHANGED, RUNS, WHOLE

Decode = Callable[[bytes], str]
"""The text in some bytes."""

_SURROGATES = 0xDC00
_NOTHING = "\ufffe"
_SINGLE = {
    "ascii": "ascii", "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256", "cp1257": "cp1257", "cp850": "cp850",
    "cp852": "cp852", "cp866": "cp866", "greek": "iso8859_7", "hebrew": "iso8859_8", "koi8r": "koi8_r", "koi8u": "koi8_u",
    "latin1": "cp1252", "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13", "macce": "mac_latin2",
    "macroman": "mac_roman", "tis620": "tis_620",
}  # fmt: skip
_MULTIPLE = {
    "utf8mb4": "utf_8", "utf8mb3": "utf_8", "utf8": "utf_8", "utf16": "utf_16_be", "utf16le": "utf_16_le", "ucs2": "utf_16_be",
    "utf32": "utf_32_be", "cp932": "cp932", "euckr": "cp949", "gb2312": "gb2312", "gbk": "gbk",
}  # fmt: skip
_EUC = re.compile(rb"\x8f[\xa1-\xfe]{2}|[\x8e\xa1-\xfe][\xa1-\xfe]|.", re.DOTALL)
_GB = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]|[\x81-\xfe][\x40-\xfe]|.", re.DOTALL)
_BIG5 = re.compile(rb"[\x81-\xfe][\x40-\xfe]|.", re.DOTALL)
_SJIS = re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\xfc]|.", re.DOTALL)
_LONGER = {"big5": (_BIG5, "big5"), "sjis": (_SJIS, "shift_jis"), "ujis": (_EUC, "euc_jp"), "eucjpms": (_EUC, "euc_jp")}
_GB_2005 = {b"\xa8\xbc": "\u1e3f", b"\x81\x35\xf4\x37": "\ue7c7"}
"""Python follows the standard of 2000, the server the one of 2005, which moved one letter."""


def _lone_surrogates(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_SURROGATES + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("tillguard.lone_surrogates", _lone_surrogates)


@cache
def find_decoder(charset: str) -> Decode | None:
    """How text of `charset` is read; None where nobody here knows it."""
    if charset in WHOLE or charset in _SINGLE:
        table = _table(charset)
        # the third value would be the number of bytes read
        return lambda data: codecs.charmap_decode(data, "strict", table)[0]
    if charset in RUNS:
        return _stepwise(*_LONGER[charset], _expanded(RUNS[charset]))
    if charset == "gb18030":
        return _stepwise(_GB, "gb18030", _GB_2005)
    codec = _MULTIPLE.get(charset)
    if codec is None:
        return None
    decode = codecs.getdecoder(codec)
    return lambda data: decode(data, "tillguard.lone_surrogates")[0]


def list_charsets() -> frozenset[str]:
    """Every character set that `find_decoder` knows."""
    return frozenset((*WHOLE, *_SINGLE, *_MULTIPLE, *RUNS, "gb18030"))


def _table(charset: str) -> str:
    """The 256 characters of a set of one byte each."""
    changed = CHANGED.get(charset, {})
    whole = WHOLE.get(charset) or "".join(
        changed.get(bytes([byte])) or bytes([byte]).decode(_SINGLE[charset], "tillguard.lone_surrogates")
        for byte in range(256)
    )
    return "".join(chr(_SURROGATES + byte) if char == _NOTHING else char for byte, char in enumerate(whole))


def _expanded(runs: list[tuple[bytes, str]]) -> dict[bytes, str]:
    return {first[:-1] + bytes([first[-1] + number]): char for first, text in runs for number, char in enumerate(text)}


def _stepwise(pattern: re.Pattern[bytes], codec: str, overrides: dict[bytes, str]) -> Decode:
    """Reads one sequence after the other, for sets that Python's codec knows in part."""
    known = dict(overrides)

    def char(sequence: bytes) -> str:
        found = known.get(sequence)
        if found is None:
            found = known[sequence] = sequence.decode(codec, "tillguard.lone_surrogates")
        return found

    def decode(data: bytes) -> str:
        return data.decode("ascii") if data.isascii() else "".join(map(char, pattern.findall(data)))

    return decode
