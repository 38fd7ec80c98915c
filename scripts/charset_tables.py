"""Writes connectors/mysql/columns/charset_tables.py: what a server's character sets hold that no codec of Python's does.

Usage: python scripts/charset_tables.py HOST PORT USER PASSWORD, where a MySQL or MariaDB server runs. Every version gives the same.
"""

import sys
from itertools import pairwise
from pathlib import Path

import pymysql

TARGET = Path(__file__).parents[1] / "connectors/mysql/columns/charset_tables.py"
TABLES = ("armscii8", "dec8", "geostd8", "hp8", "keybcs2", "swe7")
"""Sets of one byte that Python has no codec for."""
CODECS = {"cp866": "cp866", "greek": "iso8859_7", "hebrew": "iso8859_8", "koi8u": "koi8_u", "latin1": "cp1252"}
"""Sets of one byte whose codec differs in a few places."""
LONGER = {"big5": "big5", "sjis": "shift_jis", "ujis": "euc_jp", "eucjpms": "euc_jp"}
"""Sets of several bytes whose codec lacks some."""
NOTHING = "\ufffe"
HEAD = '''"""Tables of character sets, as the servers have them. Written by scripts/charset_tables.py; not to be changed by hand."""

'''


def convert(cursor: "pymysql.cursors.Cursor", charset: str, sequences: list[bytes]) -> dict[bytes, str]:
    """The characters that the server reads in `sequences`; those that it cannot read are left out."""
    found = {}
    for begin in range(0, len(sequences), 1000):
        part = sequences[begin : begin + 1000]
        shown = ", ".join(f"HEX(CONVERT(CONVERT(X'{each.hex()}' USING {charset}) USING utf32))" for each in part)
        cursor.execute(f"SELECT {shown}")
        for sequence, text in zip(part, cursor.fetchone() or (), strict=True):
            char = bytes.fromhex(text or "").decode("utf-32-be", "replace")
            if len(char) == 1 and char != "\ufffd" and (char != "?" or sequence == b"?"):
                found[sequence] = char
    return found


def decode(sequence: bytes, codec: str) -> str | None:
    """What Python's codec makes of `sequence`."""
    try:
        return sequence.decode(codec)
    except UnicodeDecodeError:
        return None


def find_runs(missing: dict[bytes, str]) -> list[tuple[bytes, str]]:
    """`missing` as (first sequence, characters of it and of those that follow it)."""
    found: list[list[bytes | str]] = []
    known = sorted(missing, key=lambda each: (len(each), each))
    for before, sequence in pairwise([b"", *known]):
        if before[:-1] == sequence[:-1] and before and before[-1] + 1 == sequence[-1]:
            found[-1][1] += missing[sequence]  # type: ignore[operator]
        else:
            found.append([sequence, missing[sequence]])
    return [(first, text) for first, text in found]  # type: ignore[misc]


def main() -> None:
    """Asks the server and writes the file."""
    host, port, user, password = sys.argv[1:]
    cursor = pymysql.connect(host=host, port=int(port), user=user, password=password).cursor()
    single = [bytes([each]) for each in range(256)]
    lines = [HEAD, "WHOLE: dict[str, str] = {\n"]
    for charset in TABLES:
        known = convert(cursor, charset, single)
        lines.append(f"    {charset!r}: {''.join(known.get(each, NOTHING) for each in single)!a},\n")
    lines += ["}\n", f'"""All 256 characters of a set; {ascii(NOTHING)[1:-1]} where a byte stands for none."""\n\n']
    lines.append("CHANGED: dict[str, dict[bytes, str]] = {\n")
    for charset, codec in CODECS.items():
        known = convert(cursor, charset, single)
        changes = {each: char for each, char in known.items() if decode(each, codec) != char}
        lines.append(f"    {charset!r}: {changes!a},\n")
    lines += ["}\n", '"""Bytes that the server reads in another way than Python\'s codec."""\n\n']
    lines.append("RUNS: dict[str, list[tuple[bytes, str]]] = {\n")
    doubles = [bytes([a, b]) for a in range(0x80, 256) for b in range(256)]
    triples = [bytes([0x8F, a, b]) for a in range(0x80, 256) for b in range(0x80, 256)]
    for charset, codec in LONGER.items():
        known = convert(cursor, charset, doubles + triples if codec == "euc_jp" else doubles)
        missing = {each: char for each, char in known.items() if decode(each, codec) != char}
        lines += [f"    {charset!r}: [\n", *(f"        {run!a},\n" for run in find_runs(missing)), "    ],\n"]
    lines += [
        "}\n",
        '"""What the codec lacks or reads in another way: a first sequence, and the characters from it on."""\n',
    ]
    TARGET.write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
