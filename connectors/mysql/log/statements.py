"""What a statement in the log does: ends a transaction, leaves mapped tables alone, or may change them unseen. Pure.

Rows of mapped tables come as events of their own. A statement is harmless only where it is clear that it put no row into a
mapped table without such events; everything else is loud. DELETE gives nothing to read, but a trigger may write by it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from connectors.mysql.log.identifiers import Xid
from connectors.mysql.log.queries import Query
from connectors.mysql.log.sql_words import Token, cut
from connectors.mysql.log.table_changes import find_table_change_fault, find_target

Kind = Literal[
    "begin",
    "commit",
    "rollback",
    "savepoint",
    "rollback_to",
    "xa_start",
    "xa_end",
    "xa_commit",
    "xa_rollback",
    "definition",
    "loud",
]


class Effect(NamedTuple):
    """What a statement does."""

    kind: Kind
    """`definition`: no row came by it. `loud`: rows may have come that no event shows."""
    name: str = ""
    """A savepoint's name (in capitals), or why the statement is loud."""
    xid: Xid | None = None


class Scope(NamedTuple):
    """Which tables matter."""

    is_ours: Callable[[str], bool]
    """Whether a database is the one that is read."""
    find: Callable[[str, str], str | None]
    """The mapped table that a database and a table name; None where they name another."""


_WRITES = frozenset(
    [
        "INSERT",
        "REPLACE",
        "UPDATE",
        "DELETE",
        "LOAD",
        "CALL",
        "WITH",
        "SELECT",
        "DO",
        "VALUES",
        "EXECUTE",
        "TABLE",
        "HANDLER",
        "MERGE",
        "IMPORT",
    ]
)
_DEFINES = frozenset(
    [
        "GRANT",
        "REVOKE",
        "SET",
        "FLUSH",
        "ANALYZE",
        "OPTIMIZE",
        "REPAIR",
        "CHECK",
        "CHECKSUM",
        "INSTALL",
        "UNINSTALL",
        "USE",
        "TRUNCATE",
        "DROP",
        "KILL",
        "RESET",
        "PURGE",
        "LOCK",
        "UNLOCK",
        "RELEASE",
        "COMMENT",
        "CACHE",
        "SHUTDOWN",
        "CHANGE",
        "START",
        "STOP",
        "CLONE",
        "BINLOG",
        "SHOW",
    ]
)
_TABLE_CHANGES = frozenset(("CREATE", "ALTER", "RENAME"))


def find_effect(query: Query, scope: Scope) -> Effect:
    """What `query` does."""
    plain = query.text.strip().upper()
    if plain in ("BEGIN", "COMMIT", "ROLLBACK"):
        return Effect("begin" if plain == "BEGIN" else "commit" if plain == "COMMIT" else "rollback")
    tokens = _unwrapped(cut(query.text, ansi_quotes=query.ansi_quotes, backslash_escapes=query.backslash_escapes))
    first = next(tokens, None)
    if first is None:
        return Effect("definition")
    verb = first.text.upper() if first.kind == "word" else ""
    control = _control(verb, tokens) if verb in _CONTROLS else None
    if control is not None:
        return control
    if verb in _TABLE_CHANGES:
        fault = find_table_change_fault(verb, list(tokens), query.database, scope.find)
        return Effect("loud", fault) if fault else Effect("definition")
    if verb in _DEFINES:
        return Effect("definition")
    return _writing(verb, tokens, query, scope)


def _unwrapped(tokens: Iterator[Token]) -> Iterator[Token]:
    """Leaves out MariaDB's `SET STATEMENT a=b FOR …` and brackets around a query: what follows is what was done."""
    held = list(islice(tokens, 2))
    if len(held) == 2 and held[0].is_any_of("SET") and held[1].is_any_of("STATEMENT"):
        for token in tokens:
            if token.is_any_of("FOR"):
                break
        yield from tokens
        return
    yield from (token for token in held if token.text != "(")
    yield from tokens


_CONTROLS = frozenset(("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "XA"))


def _control(verb: str, tokens: Iterator[Token]) -> Effect | None:
    if verb == "XA":
        return _xa(list(tokens))
    rest = list(islice(tokens, 6))
    if verb == "ROLLBACK":
        return _rolled_back(rest)
    if verb == "SAVEPOINT":
        return Effect("savepoint", rest[0].text.upper() if rest else "")
    if verb == "START" and not (rest and rest[0].is_any_of("TRANSACTION")):
        return None  # START SLAVE and the like
    return Effect("commit" if verb == "COMMIT" else "begin")


def _rolled_back(rest: Sequence[Token]) -> Effect:
    to = next((place for place, token in enumerate(rest) if token.is_any_of("TO")), None)
    if to is None:
        return Effect("rollback")
    names = rest[to + 1 :]
    if len(names) > 1 and names[0].is_any_of("SAVEPOINT"):
        names = names[1:]
    return Effect("rollback_to", names[0].text.upper() if names else "")


_XA = {"START": "xa_start", "BEGIN": "xa_start", "END": "xa_end", "COMMIT": "xa_commit", "ROLLBACK": "xa_rollback"}


def _xa(tokens: Sequence[Token]) -> Effect | None:
    kind = _XA.get(tokens[0].text.upper()) if tokens else None
    if kind is None:
        return None
    return Effect(kind, xid=_xid(tokens[1:]))  # type: ignore[arg-type]


def _xid(tokens: Sequence[Token]) -> Xid | None:
    """Reads `X'6162',X'',1`, or the same with plain strings; None where it is neither."""
    parts: list[bytes] = []
    form, hexadecimal = 1, False
    for token in tokens:
        if token.kind == "text":
            try:
                parts.append(
                    bytes.fromhex(token.text) if hexadecimal else token.text.encode("utf-8", "surrogateescape")
                )
            except ValueError:
                return None
            hexadecimal = False
        elif token.kind == "word":
            hexadecimal = token.text.upper() == "X"
            if token.text.isdecimal():
                form = int(token.text)
            elif token.text.lower().startswith("0x"):
                try:
                    parts.append(bytes.fromhex(token.text[2:]))
                except ValueError:
                    return None
    if not 1 <= len(parts) <= 2:
        return None
    return Xid(form, parts[0], parts[1] if len(parts) == 2 else b"")


def _writing(verb: str, tokens: Iterator[Token], query: Query, scope: Scope) -> Effect:
    """A statement that writes rows: harmless where the server, or its one target, says that it wrote to other databases.

    MySQL names every database that a statement touched, also by triggers and by reading; MariaDB names none.
    """
    untouched = query.updated is not None and not any(scope.is_ours(name) for name in query.updated)
    if untouched or _writes_elsewhere(verb, tokens, query.database, scope):
        return Effect("definition")
    known = verb if verb in _WRITES else "a statement of an unknown kind"
    return Effect(
        "loud",
        f"{known} stands in the log as text, so its rows cannot be seen: a session has "
        "binlog_format=STATEMENT or MIXED; set it to ROW there",
    )


def _writes_elsewhere(verb: str, tokens: Iterator[Token], database: str, scope: Scope) -> bool:
    """Whether the one target of the statement lies in another database."""
    before = {"INSERT": ("INTO",), "REPLACE": ("INTO",), "DELETE": ("FROM",), "LOAD": ("TABLE",), "UPDATE": ()}.get(
        verb
    )
    if before is None:
        return False
    head = list(islice(tokens, 40))
    target = find_target(head, before, optional=verb in ("INSERT", "REPLACE", "UPDATE"))
    if target is None:
        return False
    (named, _), after = target
    if verb in ("UPDATE", "DELETE"):
        following = head[after : after + 1]
        if not following or not following[0].is_any_of("SET", "WHERE", "LIMIT", "ORDER"):
            return False  # several tables, an alias, or nothing that is understood
    return not scope.is_ours(named or database)
