"""Guesses which column is which canonical field, and writes a first connector file with the reasons beside. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import yaml

PERSONAL = ("card", "ip", "email", "phone", "address")
UNKNOWN = "CHANGE_ME"
"""Stands where no column was found; `connector check` then names the line."""

_PATTERNS: Mapping[str, str] = {
    "transaction_id": r"(transaction|order|payment|booking|txn|tx)[_ ]?(id|no|nr|number|ref)$|^_?id$",
    "event_time": r"(placed|created|ordered|paid|purchased|booked)([_ ]?(at|on|time|date))?$|(tx|transaction|order|event)[_ ]?"
    r"(datetime|timestamp|time|date)$|^timestamp$",
    "amount": r"(^|[_. ])(total|amount|price|sum|value|betrag)([_ ]?(amount|price|minor|cents|value|due))?$|amount",
    "currency": r"currency|^ccy$|waehrung",
    "customer": r"(customer|user|account|client|member|kunde)[_. ]?(id|no|nr|number|ref)?$",
    "card": r"(card|pan)[_. ]?(number|no|nr)$|^pan$|^card$",
    "device": r"device([_. ]?(id|hash|fingerprint|used))?$|fingerprint",
    "ip": r"(^|[_. ])ip([_. ]?(addr(ess)?))?$|client[_ ]?ip",
    "email": r"e[-_]?mail",
    "phone": r"phone|mobile|telefon",
    "address": r"(ship|deliver)\w*[_. ]?(to|address|street|addr)|^address$",
    "coupon": r"(coupon|voucher|promo)\w*[_. ]?(code|id)?$",
    "terminal": r"terminal|till|store|pos([_ ]id)?$",
    "channel": r"channel",
    "payment_method": r"pay(ment)?[_ ]?(method|type|kind|means)",
    "category": r"category|department",
    "country_billing": r"bill\w*[_. ]?country|country[_ ]?bill",
    "country_delivery": r"(ship|deliver)\w*[_. ]?country",
    "country_ip": r"ip[_. ]?country",
    "country_card": r"card[_. ]?country|issuer[_ ]?country",
    "customer_since": r"(member|customer|account|registered|signup)\w*[_ ]?(since|created|at)$",
    "basket_items": r"items|quantity|qty|item[_ ]?count",
    "discount": r"discount|voucher[_ ]?amount|rebate",
    "session_s": r"session\w*[_ ]?(s|sec|seconds|duration)|checkout[_ ]?seconds",
}
_FRAUD = re.compile(r"(is[_ ]?)?fraud(ulent)?$|^tx_fraud$|chargeback(ed)?$", re.IGNORECASE)
_REQUIRED = ("transaction_id", "event_time", "amount", "currency")


class Guess(NamedTuple):
    """Columns by field, the column that says fraud, and the columns nobody claimed."""

    fields: dict[str, str]
    fraud: str | None
    unused: list[str]


def guess(columns: Sequence[str], key: str | None) -> Guess:
    """Assigns each column to at most one field, by its name."""
    left = list(columns)
    found: dict[str, str] = {}
    fraud = next((name for name in left if _FRAUD.search(name)), None)
    if fraud is not None:
        left.remove(fraud)
    for field, pattern in _PATTERNS.items():
        match = next((name for name in left if re.search(pattern, name, re.IGNORECASE)), None)
        if match is not None:
            found[field] = match
            left.remove(match)
    if "transaction_id" not in found and key is not None:
        found["transaction_id"] = key
        if key in left:
            left.remove(key)
    return Guess(found, fraud, left)


def render(name: str, source: Mapping[str, object], table: str | None, key: str | None, found: Guess) -> str:
    """The text of a connector file.

    Args:
        name: The connector's name.
        source: Settings of `source`, `kind` among them; no password.
        table: Table or collection; None for a file.
        key: Column that names a row, where known.
        found: What was guessed.
    """
    word = {"mysql": "table", "mongodb": "collection"}.get(str(source["kind"]))
    lines = [
        "# A first connector file, guessed from the names of the columns. Read every line, correct it, then run",
        "# `tillguard connector check FILE`: it shows ten rows as the transactions they become.",
        f"name: {_scalar(name)}",
        "source:",
        *(f"  {setting}: {_scalar(value)}" for setting, value in source.items()),
        "transactions:",
    ]
    if word is not None:
        lines.append(f"  {word}: {_scalar(table)}")
    if key is not None:
        lines.append(f"  key: {_scalar(key)}          # names a row; dead letters show it")
    lines += ["  updates: ignore       # an UPDATE of a row is no new transaction", "  fields:"]
    lines += [f"    {line}" for line in _field_lines(found.fields)]
    if found.fraud is not None:
        lines += ["labels:", f"  - column: {_scalar(found.fraud)}    # 1 is fraud, 0 is genuine, null says nothing yet"]
    else:
        lines += [
            "# Chargebacks in a table of their own:",
            "# labels:",
            f"#   - {word or 'table'}: chargebacks",
            "#     fields: {transaction_id: order_id, fraud: {constant: true}, source: {constant: chargeback}}",
        ]
    if found.unused:
        lines.append(f"# Not used: {', '.join(_scalar(name) for name in found.unused)}")
    return "\n".join(lines) + "\n"


def _field_lines(fields: Mapping[str, str]) -> list[str]:
    lines = []
    for field in _PATTERNS:
        column = fields.get(field)
        if column is None and field in _REQUIRED:
            line = "currency: {constant: EUR}          # or the column that says it" if field == "currency" else None
            lines.append(line or f"{field}: {UNKNOWN}          # needed: which column?")
        elif column is not None:
            lines.append(f"{field}: {_spec(field, column)}")
    return lines


def _spec(field: str, column: str) -> str:
    if field in PERSONAL:
        return f"{{column: {_scalar(column)}, tokenise: true}}"
    if field == "event_time":
        return f"{{column: {_scalar(column)}, time_zone: UTC}}          # the zone of times that carry none"
    if field in ("amount", "discount"):
        return f"{{column: {_scalar(column)}, unit: major}}          # major: 12.34; minor: 1234 cents"
    return _scalar(column)


def _scalar(value: object) -> str:
    """`value` as YAML writes it inside a flow mapping."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)
    text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text[1:-1]


def paths(documents: Sequence[Mapping[str, object]], *, depth: int = 4) -> list[str]:
    """Dotted paths of the values in some documents, in the order first seen."""
    found: dict[str, None] = {}
    for document in documents:
        _walk(document, "", depth, found)
    return list(found)


def _walk(value: Mapping[str, object], prefix: str, depth: int, found: dict[str, None]) -> None:
    for name, child in value.items():
        path = f"{prefix}{name}"
        if isinstance(child, Mapping) and depth > 1:
            _walk(child, f"{path}.", depth - 1, found)
        else:
            found[path] = None
