"""QUERY events: the text of a statement, and what it ran under. Pure."""

from typing import NamedTuple

from connectors.mysql.log.cursor import Cursor, translate_read_errors
from connectors.mysql.log.framing import Event

_ANSI_QUOTES = 0x4
_NO_BACKSLASH_ESCAPES = 0x100000
_SQL_MODE, _UPDATED_DATABASES = 1, 12
_DATABASES_UNKNOWN = 254
_WIDTHS = {0: 4, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1, 21: 1}
"""Width of the status variables whose width is fixed, by number."""
_TEXTS = {2: (1, 1), 5: (1, 0), 6: (1, 0), 11: (2, 0)}
"""Status variables that are texts: how many texts, and how many zero bytes after them (catalog, time zone, invoker)."""


class Query(NamedTuple):
    """A statement of the log."""

    database: str
    """The database that was in use; unqualified names mean tables of it."""
    text: str
    updated: frozenset[str] | None = None
    """Databases that the statement wrote to, where the server says so (MySQL)."""
    ansi_quotes: bool = False
    backslash_escapes: bool = True


def read_query(event: Event) -> Query:
    """The statement in a QUERY event; raises MalformedEventError."""
    return _read(event.body, 13, "a QUERY event")


def read_load(event: Event) -> Query:
    """The LOAD DATA statement in an EXECUTE_LOAD_QUERY event; raises MalformedEventError."""
    return _read(event.body, 26, "an EXECUTE_LOAD_QUERY event")


def _read(body: bytes, head: int, what: str) -> Query:
    with translate_read_errors(what):
        cursor = Cursor(body, 8)
        database, _, status = cursor.take_number(1), cursor.take_number(2), cursor.take_number(2)
        cursor.take(head - 13)
        mode, updated = _status(cursor.take(status))
        name = cursor.take(database).decode("utf-8", "surrogateescape")
        cursor.take(1)
        # the text is in the session's character set: what matters here is ASCII, and the rest must not be lost
        text = cursor.take_rest().decode("utf-8", "surrogateescape")
        return Query(name, text, updated, bool(mode & _ANSI_QUOTES), not mode & _NO_BACKSLASH_ESCAPES)


def _status(data: bytes) -> tuple[int, frozenset[str] | None]:
    """SQL mode and updated databases, up to the first variable that is not known here: the rest cannot be cut."""
    cursor, mode = Cursor(data), 0
    while cursor.count_left():
        code = cursor.take_number(1)
        if code == _SQL_MODE:
            mode = cursor.take_number(8)
        elif code in _WIDTHS:
            cursor.take(_WIDTHS[code])
        elif code in _TEXTS:
            count, zeros = _TEXTS[code]
            for _ in range(count):
                cursor.take(cursor.take_number(1))
            cursor.take(zeros)
        elif code == _UPDATED_DATABASES:
            return mode, _databases(cursor)
        else:
            break
    return mode, None


def _databases(cursor: Cursor) -> frozenset[str] | None:
    count = cursor.take_number(1)
    if count == _DATABASES_UNKNOWN:
        return None
    names = cursor.take_rest().split(b"\0")[:count]
    return frozenset(name.decode("utf-8", "surrogateescape") for name in names)
