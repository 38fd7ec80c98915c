"""Cuts a statement into words, names, texts and marks, as far as is needed to see what it does. Pure and total."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_BLANK = re.compile(r"\s+|--(?=\s|$)[^\n]*|#[^\n]*")
_WORD = re.compile(r"[0-9A-Za-z_$\u0080-\U0010ffff]+")
_OPENS_CODE = re.compile(r"/\*M?!\d*")


class Token(NamedTuple):
    """A piece of a statement."""

    kind: str
    """`word` (a keyword or a plain name), `name` (quoted), `text` (a string), `mark` (anything else)."""
    text: str

    def is_any_of(self, *words: str) -> bool:
        """Whether it is one of these keywords (in capitals)."""
        return self.kind == "word" and self.text.upper() in words

    def is_name(self) -> bool:
        """Whether it can name a table."""
        return self.kind in ("word", "name")


def cut(statement: str, *, ansi_quotes: bool = False, backslash_escapes: bool = True) -> Iterator[Token]:
    """The tokens of `statement`, without comments; `/*!50000 … */` is code that the server ran.

    Args:
        statement: SQL.
        ansi_quotes: Whether double quotes hold names.
        backslash_escapes: Whether a backslash hides a quote in a string.
    """
    at, length = 0, len(statement)
    while at < length:
        found = _BLANK.match(statement, at)
        if found is not None:
            at = found.end()
            continue
        if statement.startswith("/*", at):
            code = _OPENS_CODE.match(statement, at)
            end = statement.find("*/", at + 2)
            at = code.end() if code is not None else (end + 2 if end >= 0 else length)
            continue
        if statement.startswith("*/", at):
            at += 2
            continue
        sign = statement[at]
        if sign in "`'\"":
            at, inner = _quoted(statement, at, escapes=backslash_escapes and sign != "`")
            is_name = sign == "`" or (sign == '"' and ansi_quotes)
            yield Token("name" if is_name else "text", inner)
            continue
        word = _WORD.match(statement, at)
        if word is not None:
            at = word.end()
            yield Token("word", word[0])
            continue
        at += 1
        yield Token("mark", sign)


def _quoted(statement: str, at: int, *, escapes: bool) -> tuple[int, str]:
    """Where the quoted piece that begins at `at` ends, and what it holds; a doubled quote is one of its letters."""
    sign, parts, start = statement[at], list[str](), at + 1
    place = start
    while place < len(statement):
        if escapes and statement[place] == "\\":
            parts.append(statement[start:place])
            start = place + 1
            place += 2
        elif statement[place] != sign:
            place += 1
        elif statement.startswith(sign, place + 1):
            parts.append(statement[start : place + 1])
            place += 2
            start = place
        else:
            return place + 1, "".join(parts) + statement[start:place]
    return len(statement), "".join(parts) + statement[start:]
