"""Definitions that bring rows into a table without any row event: CREATE … SELECT, RENAME, partitions, tablespaces. Pure."""

import re
from collections.abc import Callable, Sequence

from connectors.mysql.log.sql_words import Token

Find = Callable[[str, str], str | None]
"""The mapped table that a database and a table name; None where they name another."""
_Mapped = Callable[[tuple[str, str]], str | None]
_MODIFIERS = (
    "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "IGNORE", "QUICK", "CONCURRENT", "IF", "EXISTS", "NOT", "INTO", "ONLINE",
    "OFFLINE", "TEMPORARY", "OR", "REPLACE",
)  # fmt: skip
_SHADOW = re.compile(r"_(?P<name>.+)_(gho|new|osc_new)|__osc_new_(?P<osc>.+)")
"""Names under which gh-ost, pt-online-schema-change, spirit and OSC copy a table, row by row, before they swap it in."""


def find_target(tokens: Sequence[Token], words: Sequence[str], *, optional: bool) -> tuple[tuple[str, str], int] | None:
    """The table named first after one of `words`: (database or empty, table), and the place behind it; None where none is.

    Args:
        tokens: What follows the verb.
        words: Keywords that the name follows.
        optional: Whether the keywords may be missing.
    """
    start = next((i + 1 for i, token in enumerate(tokens) if token.is_any_of(*words)), 0 if optional else None)
    if start is None:
        return None
    while start < len(tokens) and tokens[start].is_any_of(*_MODIFIERS):
        start += 1
    return _table_at(tokens, start)


def _table_at(tokens: Sequence[Token], at: int) -> tuple[tuple[str, str], int] | None:
    if at >= len(tokens) or not tokens[at].is_name():
        return None
    if (
        at + 2 < len(tokens)
        and tokens[at + 1].text == "."
        and tokens[at + 1].kind == "mark"
        and tokens[at + 2].is_name()
    ):
        return (tokens[at].text, tokens[at + 2].text), at + 3
    return ("", tokens[at].text), at + 1


def find_table_change_fault(verb: str, tokens: Sequence[Token], database: str, find: Find) -> str:
    """Why rows may have come into a mapped table by this definition; empty where none can have.

    Args:
        verb: CREATE, ALTER or RENAME.
        tokens: What follows the verb.
        database: The database in use.
        find: The mapped table that a database and a table name.
    """

    def mapped(table: tuple[str, str]) -> str | None:
        return find(table[0] or database, table[1])

    place = next((i for i, token in enumerate(tokens) if token.is_any_of("TABLE", "TABLES")), None)
    if place is None or not all(token.is_any_of(*_MODIFIERS) for token in tokens[:place]):
        return ""  # a view, a procedure, a trigger …
    if verb == "RENAME":
        return _renamed(tokens[place + 1 :], mapped)
    found = find_target(tokens, ("TABLE",), optional=False)
    if found is None:
        return ""
    target, after = found
    if verb == "ALTER":
        return _altered(target, tokens[after:], mapped)
    if mapped(target) and not any(token.is_any_of("TEMPORARY") for token in tokens[:place]):
        return _created(target, tokens[after:])
    return ""


def _created(target: tuple[str, str], rest: Sequence[Token]) -> str:
    """With row events the server logs the bare definition, and rows follow; with a query in it, no row event does."""
    selects = any(token.is_any_of("SELECT") for token in rest)
    copies = any(
        token.is_any_of("TABLE") and i + 1 < len(rest) and rest[i + 1].is_name() for i, token in enumerate(rest)
    )
    values = any(
        token.is_any_of("VALUES") and i + 1 < len(rest) and rest[i + 1].is_any_of("ROW") for i, token in enumerate(rest)
    )
    if selects or copies or values:
        return f"table {target[1]} was created with rows of a query, which the log does not show"
    return ""


def _renamed(tokens: Sequence[Token], mapped: _Mapped) -> str:
    pairs: list[tuple[tuple[str, str], tuple[str, str]]] = []
    at = 0
    while at < len(tokens):
        old = _table_at(tokens, at + 2 if tokens[at].is_any_of("IF") else at)
        if old is None:
            break
        to = next((i for i in range(old[1], len(tokens)) if tokens[i].is_any_of("TO")), None)
        new = _table_at(tokens, to + 1) if to is not None else None
        if new is None:
            break
        pairs.append((old[0], new[0]))
        at = new[1] + 1  # the comma
    left = {mapped(old) for old, _ in pairs}
    for source, target in pairs:
        place = mapped(target)
        if place is None or place == mapped(source):
            continue
        if place not in left or place != mapped((target[0], _shadowed(source[1]))):
            return _arrived(f"table {source[1]} was renamed to {target[1]}")
    return ""


def _shadowed(name: str) -> str:
    """The table of which a table of this name is the copy; empty where the name is not a copy's."""
    found = _SHADOW.fullmatch(name)
    return (found["name"] or found["osc"]) if found else ""


def _altered(target: tuple[str, str], rest: Sequence[Token], mapped: _Mapped) -> str:
    for i, token in enumerate(rest):
        following = rest[i + 1 :]
        if token.is_any_of("EXCHANGE") and following and following[0].is_any_of("PARTITION"):
            other = find_target(following, ("TABLE",), optional=False)
            if mapped(target) or (other is not None and mapped(other[0])):
                return _arrived(f"a partition was exchanged with table {target[1]}")
        elif (
            token.is_any_of("IMPORT")
            and following
            and following[0].is_any_of("TABLESPACE", "PARTITION")
            and mapped(target)
        ):
            return _arrived(f"a tablespace was imported into table {target[1]}")
        elif token.is_any_of("CONVERT") and following and following[0].is_any_of("TABLE", "PARTITION"):
            other = find_target(following, ("TABLE",), optional=False)
            if mapped(target) or (other is not None and mapped(other[0])):
                return _arrived(f"a partition of table {target[1]} was converted")
        elif token.is_any_of("RENAME") and following and not following[0].is_any_of("COLUMN", "INDEX", "KEY"):
            new = _table_at(following, 1 if following[0].is_any_of("TO", "AS") or following[0].text == "=" else 0)
            if new is not None and mapped(new[0]) not in (None, mapped(target)):
                return _arrived(f"table {target[1]} was renamed to {new[0][1]}")
    return ""


def _arrived(what: str) -> str:
    return f"{what}, and the rows that came with it are in no row event"
