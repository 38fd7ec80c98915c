"""JSON columns that an update tells by their changes (binlog_row_value_options=PARTIAL_JSON). Pure.

Layout: https://dev.mysql.com/doc/dev/mysql-server/latest/classJson__diff.html
"""

import json
import re
from typing import Any

from connectors.mysql.columns.binary_json import Number, decode_document, format_value
from connectors.mysql.columns.packed import UndecodableError, read_counted, read_part
from connectors.values import UNTOLD, Unusable

_REPLACE, _INSERT, _REMOVE = 0, 1, 2
_LEG = re.compile(r'\.([\w$]+)|\.("(?:[^"\\]|\\.)*")|\[(\d+)\]')
_DAMAGED = Unusable("malformed", "a change of JSON that does not fit what was there before")


def apply_changes(before: object, data: bytes) -> object:
    """The text of a JSON column that was `before`, after the changes in `data`; UNTOLD where the log does not hold the former."""
    if not isinstance(before, str):
        return before if before is UNTOLD else _DAMAGED
    try:
        # numbers stay as they were written, so that a DECIMAL keeps its zeros
        found = json.loads(before, parse_float=Number, parse_int=Number, strict=False)
        at = 0
        while at < len(data):
            found, at = _apply(found, data, at)
        return format_value(found)
    except (UndecodableError, ValueError, LookupError, TypeError, RecursionError):
        return _DAMAGED


def _apply(found: Any, data: bytes, at: int) -> tuple[Any, int]:
    kind = read_part(data, at, 1)[0]
    path, at = read_counted(data, at + 1)
    legs = _legs(path.decode("utf-8"))
    value = None
    if kind != _REMOVE:
        raw, at = read_counted(data, at)
        value = decode_document(raw)
    if not legs:
        return value, at
    holder = found
    for leg in legs[:-1]:
        holder = holder[leg]
    last = legs[-1]
    if kind == _REMOVE:
        del holder[last]
    elif kind == _INSERT and isinstance(holder, list):
        holder.insert(last, value)
    elif kind in (_REPLACE, _INSERT):
        holder[last] = value
    else:
        raise UndecodableError(f"a change of kind {kind}")
    return found, at


def _legs(path: str) -> list[Any]:
    """`$.a[1]."b c"` as names and indexes; raises UndecodableError."""
    found: list[Any] = []
    at = 0
    path = path.removeprefix("$")
    while at < len(path):
        leg = _LEG.match(path, at)
        if leg is None:
            raise UndecodableError("a path of another form")
        at = leg.end()
        name, quoted, index = leg.groups()
        found.append(name if name is not None else json.loads(quoted) if quoted is not None else int(index))
    return found
