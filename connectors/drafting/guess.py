"""Guesses which column is which canonical field, by the columns' names and a look at their values. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from connectors.currency_signs import find_code, find_currencies
from connectors.drafting.column_forms import (
    NumberForm,
    TimeForm,
    find_number_form,
    find_time_form,
    is_day,
    is_time_of_day,
)
from connectors.values import ABSENT, get_at_path, strip_zeros

_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "transaction_id": (
        r"^(transaction|trans|txn|tx|order|payment|booking|invoice|receipt|bill|sale)_?(id|no|nr|num|number|ref|key|uuid)$",
        r"(transaction|trans|txn|tx|order|payment|booking)[_.]*(id|no|nr|num|number|ref)$",
        r"^(bestell|auftrags?|rechnungs?|beleg|buchungs?|transaktions?)\w*_?(id|nr|nummer)$",
        r"^_?(id|uuid|guid|key)$",
    ),
    "event_time": (
        r"^event_?time$|(trans|transaction|txn|tx|order|payment|purchase|invoice|sale|booking|event)_?(date_?)?(time_?stamp|date_?time|time|ts|date|dt)$",
        r"(placed|created|ordered|paid|purchased|booked)(_?(at|on|time|date))?$",
        r"^(time_?stamp|date_?time|ts|unix_?time|epoch)$",
        r"^(date|time|day|when|datum|step)$",
    ),
    "amount": (
        r"^(trans|transaction|txn|tx|order|payment|purchase|total|grand)_?(amount|amt|total|value|price|sum)$",
        r"(^|[_.])(amount|amt|betrag)$|amount",
        r"(^|[_.])(total|price|sum|value)(_?(amount|price|minor|cents|value|due))?(_(eur|usd|gbp|chf|sek|nok|dkk|pln|czk|cad|aud))?$",
    ),
    "currency": (r"currency|^ccy$|w(ä|ae)hrung",),
    "customer": (
        r"^(customer|cust|user|account|acct|client|member|kunden?|buyer|name_?orig)_?(id|no|nr|num|number|ref|key)?$",
        r"(customer|user|account|client|member|kunden?|buyer)[_.]?(id|no|nr|number|nummer|ref)$",
    ),
    "card": (r"(card|pan|cc)[_.]?(number|no|nr|num)$|^pan$|^card$",),
    "device": (r"device([_.]?(id|hash|fingerprint|used|info))?$|fingerprint",),
    "ip": (r"(^|[_.])ip([_.]?(addr(ess)?))?$|client_?ip",),
    "email": (r"e_?mail([_.]?addr(ess)?)?$",),
    "phone": (r"phone|mobile|telefon",),
    "address": (r"(ship|deliver)\w*[_.]?(to|address|street|addr)|^address$",),
    "coupon": (r"(coupon|voucher|promo)\w*[_.]?(code|id)?$",),
    "terminal": (
        r"terminal(_id)?$|(^|_)till(_id)?$|(^|_)store(_id)?$|^pos(_id)?$",
        r"^merchant(_(id|name))?$|^name_?dest$",
    ),
    "channel": (r"channel",),
    "payment_method": (r"pay(ment)?_?(method|type|kind|means)",),
    "category": (r"category|department|^product_?cd$",),
    "country_billing": (r"bill\w*[_.]?country|country_?bill",),
    "country_delivery": (r"(ship|deliver)\w*[_.]?country",),
    "country_ip": (r"ip[_.]?country",),
    "country_card": (r"card[_.]?country|issuer_?country",),
    "customer_since": (r"(member|customer|account|registered|signup)\w*_?(since|created|at)$",),
    "basket_items": (r"items|quantity|qty|item_?count",),
    "discount": (r"discount|voucher_?amount|rebate",),
    "session_s": (r"session\w*_?(s|sec|seconds|duration)|checkout_?seconds",),
}
FIELDS = tuple(_PATTERNS)
_FRAUD = (
    r"^(is_?|tx_?|trans_?|transaction_?)?(fraud|fraudulent|chargeback|charged_?back|scam)(_?(flag|label|ind|reported|bool))?$",
    r"^(fraud|is_?fraud|betrug)",
    r"^(is_?)?(label|target|class|y)$",
)
_YES = re.compile(
    r"(?i)((is|confirmed|proven|known)[-_ ]?)?(fraud(ulent)?|scam|bad|chargeback|charged[-_ ]?back|illicit|suspicious)"
)
_NO = re.compile(r"(?i)(not?[_ ]?(a )?|non[-_ ]?)fraud(ulent)?|legit(imate)?|genuine|normal|valid|good|ok|licit|clean")
_BOOLEAN = re.compile(r"(?i)[01]|true|false|t|f|yes|no|y|n")
_TRUE = frozenset(("1", "true", "yes", "y", "t", "ja", "oui", "si", "sí", "on", "wahr", "vrai", "vero", "verdadero"))
_FALSE = frozenset(("0", "false", "no", "n", "f", "nein", "non", "off", "falsch", "faux", "falso"))
NULLS = frozenset(("NULL", "Null", "null", "(null)", "\\N", "NaN", "nan", "NaT", "None", "N/A", "n/a", "#N/A", "<NA>"))
"""Words by which programs write that there is no value. NA is none of them: it is Namibia, too."""
LABEL_VALUES_MAX = 10


class Guess(NamedTuple):
    """What each column seems to be."""

    fields: dict[str, str]
    """Column by canonical field."""
    fraud: str | None
    """The column that says fraud."""
    unused: list[str]
    """Columns that nobody claimed."""
    day_and_time: tuple[str, str] | None = None
    """Columns of the event's day and time of day, where they are two."""
    time: TimeForm | None = None
    """How the event's time is written; None where nothing fits, or nothing was looked at."""
    numbers: NumberForm | None = None
    """How the amount is written; likewise."""
    currencies: tuple[tuple[str, ...], ...] = ()
    """What the signs in the amounts may mean, for each sign; more than one: amounts of several currencies."""
    currency_values: dict[str, str] | None = None
    """Codes for what the currency column holds, where that is signs or numbers."""
    fraud_values: dict[str, bool | None] | None = None
    """What the label column holds, where that is not plainly true and false."""
    repeated_id: bool = False
    """Whether the id names several of the rows that were looked at."""
    looked_at: int = 0
    """Rows."""


def guess(columns: Sequence[str], key: str | None, rows: Sequence[Mapping[str, object]] = ()) -> Guess:
    """Assigns each column to at most one field.

    Args:
        columns: Their names.
        key: The primary key, where known.
        rows: Some rows; with them, times must be times and amounts numbers.
    """
    left = list(columns)
    found: dict[str, str] = {}
    fraud = _first(left, _FRAUD, lambda name: _may_be_label(_held(rows, name)))
    if fraud is not None:
        left.remove(fraud)
    day_and_time = _day_and_time(left, rows)
    for name in day_and_time or ():
        left.remove(name)
    for field, patterns in _PATTERNS.items():
        if field == "event_time" and day_and_time is not None:
            continue
        match = _best(field, left, patterns, rows)
        if match is not None:
            found[field] = match
            left.remove(match)
    if "transaction_id" not in found and key is not None:
        found["transaction_id"] = key
        if key in left:
            left.remove(key)
    ids = _held(rows, found.get("transaction_id", ""))
    return Guess(
        found,
        fraud,
        left,
        day_and_time,
        _event_time(found, day_and_time, rows),
        find_number_form(_held(rows, found["amount"])) if "amount" in found else None,
        tuple(
            sorted({codes for value in _held(rows, found.get("amount", "")) if (codes := find_currencies(str(value)))})
        ),
        _currency_values(_held(rows, found.get("currency", ""))),
        _fraud_values(_held(rows, fraud)) if fraud is not None else None,
        len(set(map(str, ids))) < len(ids),
        len(rows),
    )


def normalise_name(name: str) -> str:
    """`transDateTime`, `Trans Date-Time` and `TRANS_DATE_TIME` as `trans_date_time`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name.strip(" #\t"))
    return re.sub(r"[\s_-]+", "_", words).lower()


def _first(names: Sequence[str], patterns: Sequence[str], may_be: Callable[[str], bool]) -> str | None:
    for pattern in patterns:
        for name in names:
            if re.search(pattern, normalise_name(name)) and may_be(name):
                return name
    return None


def _best(
    field: str, names: Sequence[str], patterns: Sequence[str], rows: Sequence[Mapping[str, object]]
) -> str | None:
    """The first column by name whose values fit the field; where none does, the first by name."""
    fits = {
        "event_time": lambda name: find_time_form(_held(rows, name)) is not None,
        "amount": lambda name: find_number_form(_held(rows, name)) is not None,
        "customer_since": lambda name: find_time_form(_held(rows, name)) is not None,
    }.get(field)
    if not rows or fits is None:
        return _first(names, patterns, lambda _: True)
    return _first(names, patterns, fits) or (
        None if field == "customer_since" else _first(names, patterns, lambda _: True)
    )


def _day_and_time(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> tuple[str, str] | None:
    """A column of days and one of times of day, both named like times, where no column holds both."""
    named = [name for name in names if re.search(r"date|day|time|hour|datum|uhrzeit|zeit", normalise_name(name))]
    days = [name for name in named if _all(_held(rows, name), is_day)]
    times = [name for name in named if _all(_held(rows, name), is_time_of_day)]
    if not days or not times:
        return None
    whole = [name for name in named if name not in days and find_time_form(_held(rows, name)) is not None]
    return None if whole else (days[0], times[0])


def _event_time(
    found: Mapping[str, str], parts: tuple[str, str] | None, rows: Sequence[Mapping[str, object]]
) -> TimeForm | None:
    if parts is None:
        return find_time_form(_held(rows, found["event_time"])) if "event_time" in found else None
    day, time = parts
    return find_time_form([f"{row[day]} {row[time]}" for row in rows if row.get(day) and row.get(time)])


def _held(rows: Sequence[Mapping[str, object]], name: str) -> list[object]:
    held = (get_at_path(row, name) for row in rows)
    return [value for value in held if value not in (None, "", ABSENT) and value == value]  # noqa: PLR0124 - NaN is a gap


def _all(values: Sequence[object], test: Callable[[object], bool]) -> bool:
    return bool(values) and all(map(test, values))


def _may_be_label(values: Sequence[object]) -> bool:
    return len(set(map(str, values))) <= LABEL_VALUES_MAX


def _fraud_values(values: Sequence[object]) -> dict[str, bool | None] | None:
    """A translation of what a label column holds; None where all of it is read as true or false anyway."""
    held = sorted({strip_zeros(str(value).strip()) for value in values})
    words = {each.lower() for each in held}
    # F next to N, G or L is short for fraud; next to T it is short for false
    fraud_or_false = "f" in words and not words <= {"t", "f"}
    if all(_BOOLEAN.fullmatch(each) for each in held) and not fraud_or_false:
        return None
    return {each: None if each.lower() == "f" and fraud_or_false else _meaning(each) for each in held}


def _meaning(text: str) -> bool | None:
    word = text.lower().rstrip(".")
    if _NO.fullmatch(text) or word in _FALSE:
        return False
    return True if _YES.fullmatch(text) or word in _TRUE else None


def _currency_values(values: Sequence[object]) -> dict[str, str] | None:
    """A translation of a column of signs or numbers; None where it holds codes, or what nobody knows."""
    held = sorted({str(value).strip() for value in values})
    codes = {each: code for each in held if (code := find_code(each)) is not None}
    return codes if held and len(codes) == len(held) else None


def list_paths(documents: Sequence[Mapping[str, object]], *, depth: int = 4) -> list[str]:
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
