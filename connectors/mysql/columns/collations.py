"""Character sets of collations, by the numbers that the binary log gives. Pure."""

from typing import NamedTuple


class Collation(NamedTuple):
    """What of a collation matters to a reader."""

    charset: str
    pads: bool
    """Whether the server takes `A` and `A ` for equal (PAD SPACE)."""


_SETS = {
    "armscii8": (32, 64), "ascii": (11, 65), "big5": (1, 84), "cp1250": (26, 34, 44, 66, 99), "cp1251": (14, 23, 50, 51, 52),
    "cp1256": (57, 67), "cp1257": (29, 58, 59), "cp850": (4, 80), "cp852": (40, 81), "cp866": (36, 68), "cp932": (95, 96),
    "dec8": (3, 69), "eucjpms": (97, 98), "euckr": (19, 85), "gb18030": (248, 249, 250), "gb2312": (24, 86), "gbk": (28, 87),
    "geostd8": (92, 93), "greek": (25, 70), "hebrew": (16, 71), "hp8": (6, 72), "keybcs2": (37, 73), "koi8r": (7, 74),
    "koi8u": (22, 75), "latin1": (5, 8, 15, 31, 47, 48, 49, 94), "latin2": (2, 9, 21, 27, 77), "latin5": (30, 78),
    "latin7": (20, 41, 42, 79), "macce": (38, 43), "macroman": (39, 53), "sjis": (13, 88), "swe7": (10, 82), "tis620": (18, 89),
    "ucs2": (35, 90, *range(128, 152), 159, *range(640, 643)), "ujis": (12, 91),
    "utf16": (54, 55, *range(101, 125), *range(672, 675)), "utf16le": (56, 62),
    "utf32": (60, 61, *range(160, 184), *range(736, 739)), "utf8mb3": (33, 76, 83, *range(192, 216), 223, *range(576, 579)),
    "utf8mb4": (45, 46, *range(224, 248), *range(255, 324), *range(608, 611)), "binary": (63,),
}  # fmt: skip
_BY_NUMBER = {number: charset for charset, numbers in _SETS.items() for number in numbers}
_MARIADB_NO_PAD = 1024
"""Added to a number: the same collation, without PAD SPACE."""
_MARIADB_UCA1400 = 2048
"""From here on MariaDB has 256 numbers for each of five sets, of which the third bit says NO PAD."""
_UCA1400 = ("utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32")


def find_collation(number: int) -> Collation | None:
    """The collation of that number; None where neither server has it."""
    if number >= _MARIADB_UCA1400:
        block, inside = divmod(number - _MARIADB_UCA1400, 256)
        return Collation(_UCA1400[block], pads=not inside & 4) if block < len(_UCA1400) else None
    if number >= _MARIADB_NO_PAD:
        charset = _BY_NUMBER.get(number - _MARIADB_NO_PAD)
        return Collation(charset, pads=False) if charset else None
    charset = _BY_NUMBER.get(number)
    # MySQL's collations after Unicode 9.0 do not pad
    return Collation(charset, pads=number != 63 and not 255 <= number < 324) if charset else None


def find_named_collation(charset: str, name: str) -> Collation:
    """The collation that information_schema calls `name`."""
    return Collation(charset, pads="_0900_" not in name and "nopad" not in name)
