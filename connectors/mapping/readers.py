"""Compiles the fields of a connector file into functions that read one value from a row. Pure; made once, called per row.

A reader returns None for "no value" and raises InvalidEventError, which names the field, for a value that cannot be used.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from datetime import time as time_of_day
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from connectors.config.fields import FieldSpec, MoneyField, TextField, TimeField
from connectors.number_text import Parse
from connectors.values import (
    ABSENT,
    UntoldError,
    as_exact_text,
    as_id,
    as_money,
    as_text,
    as_time,
    get_at_path,
    require_usable,
    strip_zeros,
)
from contract.errors import ConfigurationError, InvalidEventError
from contract.tokens import Tokeniser, normalise

T = TypeVar("T")
Values = Mapping[str, object]
Read = Callable[[Values], T]
Aliases = dict[str, str]
MIDNIGHT = time_of_day()


_Form = tuple[Callable[[str], object], str]
_IDENTIFIER: _Form = (
    re.compile(r"[^\x00-\x1f\x7f]{1,128}").fullmatch,
    "longer than 128 characters, or with control characters",
)
_WORD: _Form = (re.compile(r".{1,64}", re.DOTALL).fullmatch, "longer than 64 characters")
_COUNTRY: _Form = (re.compile(r"[A-Z]{2}").fullmatch, "not a country code of two letters")
_FORMS: Mapping[str, _Form] = {
    "channel": _WORD,
    "payment_method": _WORD,
    "category": _WORD,
    "kind": _WORD,
    "currency": (re.compile(r"[A-Z]{3}").fullmatch, "not a currency code of three letters"),
    "country_billing": _COUNTRY,
    "country_delivery": _COUNTRY,
    "country_ip": _COUNTRY,
    "country_card": _COUNTRY,
}
"""What the contract asks of each text field; checked here too, so that `optional` can leave a misfit out."""


def build_raw_reader(field: str, spec: FieldSpec, *, flat: bool) -> Read[object]:
    """Reads what the row holds, after translation and default; None where it holds nothing.

    Args:
        field: Canonical name, for the faults.
        spec: Where the value comes from.
        flat: True for tables, where a missing column means that the schema changed; documents may lack any path.
    """
    names = spec.list_names()
    if not names:
        constant = spec.constant
        return lambda _: constant
    name = names[0]
    table = _translation(spec) if spec.values is not None else None
    default = spec.default
    strict = flat and not spec.optional

    def read(values: Values) -> object:
        value = values.get(name, ABSENT)
        if value is ABSENT:
            value = get_at_path(values, name)
            if value is ABSENT:
                if strict and name.partition(".")[0] not in values:
                    raise InvalidEventError("schema_changed", f"{field}: the row has no column {name} any more")
                value = None
        value = require_usable(field, value)
        if value is not None and table is not None:
            value = _translated(field, value, table, default)
        return default if value is None else value

    return read


def _translation(spec: FieldSpec) -> Mapping[str, object]:
    table: dict[str, object] = {}
    for held, meaning in (spec.values or {}).items():
        # YAML reads yes, no, on and off as booleans
        spellings = {True: ("true", "yes", "on"), False: ("false", "no", "off")}[held] if isinstance(held, bool) else ()
        for spelling in (*spellings, str(held)):
            table[spelling] = meaning
    return table


def _translated(field: str, value: object, table: Mapping[str, object], default: object) -> object:
    text = as_text(field, value)
    if text is None:
        return None
    spellings = (text, text.lower(), strip_zeros(text))
    found = next((table[each] for each in spellings if each in table), ABSENT)
    if found is ABSENT:
        if default is None:
            raise InvalidEventError("field_invalid", f"{field}: a value that `values` does not list")
        return default
    return found


def make_lenient(spec: FieldSpec, read: Read[T | None]) -> Read[T | None]:
    """`read`, with faults turned into None where the file says `optional: true`."""
    if not spec.optional:
        return read

    def tolerant(values: Values) -> T | None:
        try:
            return read(values)
        except UntoldError:
            raise
        except InvalidEventError:
            return None

    return tolerant


def build_text_reader(field: str, spec: TextField, *, flat: bool) -> Read[str | None]:
    """Reads plain text as its canonical field takes it; several columns are joined by a space."""
    joined = _joined(field, spec, flat=flat)
    fits, fault = _FORMS.get(field, _IDENTIFIER)

    def read(values: Values) -> str | None:
        found = joined(values)
        if found is not None and not fits(found):
            raise InvalidEventError("field_invalid", f"{field}: {fault}")
        return found

    return make_lenient(spec, read)


def build_code_reader(field: str, spec: TextField, *, flat: bool) -> Read[str | None]:
    """Reads a code (currency, country) and gives it in capitals."""
    joined = _joined(field, spec, flat=flat)
    fits, fault = _FORMS[field]

    def upper(values: Values) -> str | None:
        found = joined(values)
        if found is None:
            return None
        if not fits(found.upper()):
            raise InvalidEventError("field_invalid", f"{field}: {fault}; translate it by `values`")
        return found.upper()

    return make_lenient(spec, upper)


def build_name_reader(field: str, spec: TextField, *, flat: bool) -> Read[str | None]:
    """Reads what names something forever, exactly as it stands: two different names never give one text."""
    parts = _parts(field, spec, flat=flat, convert=as_exact_text)
    fits, fault = _FORMS.get(field, _IDENTIFIER)

    def read(values: Values) -> str | None:
        found = [part(values) for part in parts]
        if len(found) == 1 or not any(found):
            text = found[0]
        else:
            # a blank inside a part is marked, so that `A B` and `C` are not taken for `A` and `B C`
            text = " ".join((word or "").replace("\\", "\\\\").replace(" ", "\\ ") for word in found)
        if text is not None and not fits(text):
            raise InvalidEventError("field_invalid", f"{field}: {fault}")
        return text

    return make_lenient(spec, read)


def _joined(field: str, spec: TextField, *, flat: bool) -> Read[str | None]:
    parts = _parts(field, spec, flat=flat, convert=as_text)
    if len(parts) == 1:
        return parts[0]

    def joined(values: Values) -> str | None:
        found = [part(values) for part in parts]
        return " ".join(word for word in found if word) or None

    return joined


def _parts(
    field: str, spec: TextField, *, flat: bool, convert: Callable[[str, object], str | None]
) -> list[Read[str | None]]:
    """Readers of the columns that make up a text."""
    form = spec.format

    def part(read: Read[object]) -> Read[str | None]:
        if form is None:
            return lambda values: convert(field, read(values))
        return lambda values: convert(field, as_id(field, read(values), form))

    specs = [spec.model_copy(update={"column": each, "columns": None}) for each in spec.columns or ()]
    return [part(build_raw_reader(field, each, flat=flat)) for each in specs or [spec]]


def build_token_reader(
    field: str, spec: TextField, tokens: Tokeniser | None, *, flat: bool
) -> Callable[[Values, Aliases], str | None]:
    """Reads text, gives its token, and puts the previous key's token into the aliases."""
    if tokens is None:
        raise ConfigurationError([f"field {field} is tokenised, and the retailer's settings name no tokenisation key"])
    plain = _joined(field, spec, flat=flat)

    def spelled(values: Values) -> str | None:
        found = plain(values)
        return None if found is None else normalise(field, found)

    read = make_lenient(spec, spelled)

    def tokenised(values: Values, aliases: Aliases) -> str | None:
        spelling = read(values)
        if not spelling:
            return None
        alias = tokens.make_alias(field, spelling)
        if alias is not None:
            aliases[field] = alias
        return tokens.make_token(field, spelling)

    return tokenised


def build_time_reader(
    field: str, spec: TimeField, *, flat: bool
) -> Callable[[Values, datetime | None], datetime | None]:
    """Reads a moment; the second argument is the event's own time, for `days_before_event`."""
    read = _day_and_time(field, spec, flat=flat) if spec.columns else build_raw_reader(field, spec, flat=flat)
    zone, (form, *others), optional = ZoneInfo(spec.time_zone), spec.format, spec.optional

    def moment(values: Values, event_time: datetime | None) -> datetime | None:
        try:
            value = read(values)
            if others:
                return _first_that_fits(field, value, zone, (form, *others), event_time)
            return as_time(field, value, zone, form, event_time)
        except UntoldError:
            raise
        except InvalidEventError:
            if optional:
                return None
            raise

    return moment


def _first_that_fits(
    field: str, value: object, zone: ZoneInfo, forms: Sequence[str], event_time: datetime | None
) -> datetime | None:
    for form in forms:
        try:
            return as_time(field, value, zone, form, event_time)
        except InvalidEventError:
            continue
    raise InvalidEventError(
        "field_invalid", f"{field}: not a time of any format of {', '.join(f'`{form}`' for form in forms)}"
    )


def _day_and_time(field: str, spec: TimeField, *, flat: bool) -> Read[str | None]:
    """Several columns joined by a space; None where one of them is empty, since a day alone is not when it happened."""
    names = spec.columns or []
    parts = [
        build_raw_reader(field, spec.model_copy(update={"column": name, "columns": None}), flat=flat) for name in names
    ]

    def joined(values: Values) -> str | None:
        found = [as_text(field, _day(part(values))) for part in parts]
        return " ".join(word for word in found if word) if all(found) else None

    return joined


def _day(value: object) -> object:
    """A day that its column holds as a moment at midnight."""
    return value.date() if isinstance(value, datetime) and value.time() == MIDNIGHT else value


def build_number_reader(
    field: str, read: Read[object], parse: Parse | None, reason: str = "field_invalid"
) -> Read[object]:
    """`read`, with text as a number by `parse`, where the file says how numbers are written."""
    if parse is None:
        return read

    def parsed(values: Values) -> object:
        value = read(values)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        found = parse(value)
        if found is None:
            raise InvalidEventError(reason, f"{field}: not a number as `decimal` and `thousands` in `source` say")
        return found

    return parsed


def build_money_reader(
    field: str, spec: MoneyField, *, flat: bool, numbers: Parse | None = None
) -> Callable[[Values, str], int | None]:
    """Reads an amount as minor units of the currency given; `numbers` reads text."""
    read = build_number_reader(field, build_raw_reader(field, spec, flat=flat), numbers, "amount_invalid")
    unit, optional = spec.unit, spec.optional

    def amount(values: Values, currency: str) -> int | None:
        try:
            return as_money(field, read(values), currency, unit)
        except UntoldError:
            raise
        except InvalidEventError:
            if optional:
                return None
            raise

    return amount


def build_converting_reader(
    field: str, spec: FieldSpec, convert: Callable[[str, Any], T | None], *, flat: bool, numbers: Parse | None = None
) -> Read[T | None]:
    """Reads a value through one of the conversions of connectors.values; `numbers` reads text as a number first."""
    read = build_number_reader(field, build_raw_reader(field, spec, flat=flat), numbers)
    return make_lenient(spec, lambda values: convert(field, read(values)))
