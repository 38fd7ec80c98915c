"""BSON values as a mapping reads them, and the text that names a document. Pure.

Everything that reads documents (scan, stream, sample, fetch) goes through here, so that one value is read one way.

`spell_key` gives documents with different keys different texts. In a collection whose keys are all strings, all whole numbers or
all ObjectIds the text is the key as it is written. Where kinds meet, that cannot be: 1 and "1" would both be `1`. So every
collection has a spelling, chosen once and kept with the position; a key that the spelling does not write plainly is written as
MongoDB's Extended JSON, such as `"1"` for the string and `{"$numberLong":"1"}` for the number.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import NamedTuple, Self
from uuid import UUID

from bson import json_util
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE, Binary, UuidRepresentation
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

UUID_REPRESENTATIONS: Mapping[str, int] = {
    "standard": UuidRepresentation.PYTHON_LEGACY,
    "pythonLegacy": UuidRepresentation.PYTHON_LEGACY,
    "javaLegacy": UuidRepresentation.JAVA_LEGACY,
    "csharpLegacy": UuidRepresentation.CSHARP_LEGACY,
}
"""How a driver orders the bytes of a UUID of subtype 3; those of subtype 4 always stand in the order in which they are written."""
_WHOLE_MAX = 10**34
"""Decimal128 holds no whole number of more digits exactly."""
_UUID_BYTES = 16
_CANONICAL = json_util.CANONICAL_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.UNSPECIFIED)
_DOCUMENT = "$literal"
"""Wraps what Extended JSON writes without a mark of its own."""
_LOOKS_TYPED = re.compile(
    r"""-?(0|[1-9]\d*)                                                  # a whole number
    | [0-9a-f]{24}                                                      # an ObjectId
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}      # a UUID
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00                   # a time
    | true | false""",
    re.VERBOSE,
)
_FLOAT_LENGTH_MAX = 32
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]|[\ud800-\udfff]")
_EXACT = Context(prec=40, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Decimal128 has 34 digits."""


class Spelling(NamedTuple):
    """How the keys of one collection are written."""

    strings: bool
    """Strings are plain, and whatever else there is carries its kind. False: the other way round, where they could be mistaken."""
    mixed: bool = False
    """Both strings and others were there at the first look, so that a reference is as ambiguous as a key."""
    legacy_uuids: bool = False
    """UUIDs of subtype 3 are plain, and those of subtype 4 carry their kind."""

    def to_text(self) -> str:
        """For a position."""
        word = "strings" if self.strings else "mixed" if self.mixed else "others"
        return word + ("+legacy" if self.legacy_uuids else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `text` gave; raises ValueError."""
        word, _, rest = text.partition("+")
        if word not in ("strings", "mixed", "others") or rest not in ("", "legacy"):
            raise ValueError("not a spelling")
        return cls(word == "strings", word == "mixed", bool(rest))


def find_spelling(keys: Iterable[object]) -> Spelling | None:
    """The spelling that leaves as many of `keys` plain as it can; None while there are none."""
    strings = unclear = others = legacy = standard = 0
    for key in keys:
        if is_text(key):
            strings += 1
            unclear += _could_be_another(str(key))
        elif key is not None:
            others += 1
            legacy += _uuid_subtype(key) == OLD_UUID_SUBTYPE
            standard += _uuid_subtype(key) == UUID_SUBTYPE
    if not strings + others:
        return None
    plain = bool(strings) and (not others or unclear > others)
    return Spelling(plain, mixed=bool(strings and others) and not plain, legacy_uuids=legacy > standard)


def spell_key(key: object, spelling: Spelling, representation: int) -> str | None:
    """The text that names a document of this key and no other; None for null and for text without a character to see."""
    if key is None:
        return None
    if is_text(key):
        text = str(key)
        quoted = _is_marked(text) or (not spelling.strings and _could_be_another(text))
        return json.dumps(text) if text.strip() and quoted else text
    plain = None if spelling.strings else _plain(key, spelling, representation)
    return plain if plain is not None else _extended(key)


def list_key_candidates(text: str, representation: int) -> list[object]:
    """What a key of this text may be in the database: few values, of which at most one has this text."""
    if text[:1] in ('{"', '"', "{"):
        return [value for value in [_from_extended(text)] if value is not None]
    found: list[object] = [text]
    for read in _READERS:
        try:
            found.append(read(text))
        except (ValueError, OverflowError, ArithmeticError):
            continue
    if len(text) == 36 and (uuid := next((each for each in found if isinstance(each, UUID)), None)):
        found.remove(uuid)
        found.append(Binary.from_uuid(uuid, UuidRepresentation.STANDARD))
        found.append(Binary.from_uuid(uuid, representation))
    return found


def convert_value(value: object, representation: int) -> object:
    """`value` as the mapping takes it: what has no scalar form becomes a document, which every field refuses by name."""
    if isinstance(value, DBRef):
        value = value.as_doc()
    if isinstance(value, Mapping):
        return {name: convert_value(each, representation) for name, each in value.items()}
    if isinstance(value, list):
        return [convert_value(each, representation) for each in value]
    return _scalar(value, representation)


def _scalar(value: object, representation: int) -> object:
    if isinstance(value, Binary):
        uuid = _uuid(value, representation)
        return bytes(value) if uuid is None else uuid
    if isinstance(value, Timestamp):
        return value.as_datetime()
    if isinstance(value, Code | Regex | MinKey | MaxKey | DatetimeMS):
        return {f"${type(value).__name__}": True}
    return str(value) if isinstance(value, ObjectId) else value


def is_text(value: object) -> bool:
    """Whether `value` is a string of MongoDB; JavaScript code is none."""
    return isinstance(value, str) and not isinstance(value, Code)


def _plain(key: object, spelling: Spelling, representation: int) -> str | None:
    """The text of a key that is no string, where it has one that no other kind shares."""
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float | Decimal128):
        return _number(key)
    if isinstance(key, ObjectId):
        return str(key)
    if isinstance(key, datetime):
        return key.isoformat()
    wanted = OLD_UUID_SUBTYPE if spelling.legacy_uuids else UUID_SUBTYPE
    return str(_uuid(key, representation)) if _uuid_subtype(key) == wanted else None


def _number(key: "int | float | Decimal128") -> str | None:
    """MongoDB holds equal numbers of any type for one key, so they have one text; None for what has no exact one."""
    number = key.to_decimal() if isinstance(key, Decimal128) else key
    if not _is_finite(number):
        return None
    if not -_WHOLE_MAX < number < _WHOLE_MAX:
        return None
    if number == int(number):
        return str(int(number))
    return repr(float(number)) if Decimal(float(number)) == number else None


def _could_be_another(text: str) -> bool:
    """Whether a key that is no string could be written like this."""
    return bool(_LOOKS_TYPED.fullmatch(text)) or _is_float(text) or _is_marked(text)


def _is_float(text: str) -> bool:
    if len(text) > _FLOAT_LENGTH_MAX:
        return False
    try:
        return repr(float(text)) == text
    except ValueError:
        return False


def _is_marked(text: str) -> bool:
    """Whether a string must be quoted in every spelling: it begins as Extended JSON does, or not all of it is text to see."""
    return text[:1] in ('"', "{") or text != text.strip() or bool(_CONTROLS.search(text))


def _extended(key: object) -> str:
    """Extended JSON that begins with a brace, whatever `key` is; equal numbers give equal texts."""
    if isinstance(key, bool):
        return _dumped({_DOCUMENT: key})
    if isinstance(key, int | float | Decimal128):
        return _extended_number(key)
    if isinstance(key, Mapping) and not any(name.startswith("$") for name in key):
        return _dumped(key) if key else _dumped({_DOCUMENT: {}})
    if isinstance(key, Mapping | list):
        return _dumped({_DOCUMENT: key})
    return _dumped(key)


def _extended_number(key: "int | float | Decimal128") -> str:
    text = _number(key)
    number = key.to_decimal() if isinstance(key, Decimal128) else key
    if text is not None:
        return _dumped_raw({_number_kind(text): text})
    if _is_finite(number):
        if isinstance(number, Decimal) and Decimal(float(number)) != number:
            return _dumped_raw({"$numberDecimal": str(number.normalize(_EXACT))})
        return _dumped_raw({"$numberDouble": repr(float(number))})
    name = str(number).lower()
    sign = "-" if name.startswith("-") else ""
    return _dumped_raw({"$numberDouble": f"{sign}Infinity" if "inf" in name else "NaN"})


def _is_finite(number: "int | float | Decimal") -> bool:
    # a signalling NaN of Decimal128 is an error to every other question
    return number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)


def _dumped(key: object) -> str:
    return json_util.dumps(key, json_options=_CANONICAL, separators=(",", ":"))


def _dumped_raw(document: Mapping[str, str]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _from_extended(text: str) -> object:
    try:
        value = json_util.loads(text, json_options=_CANONICAL)
    except Exception:  # noqa: BLE001 - a text that somebody typed: the library raises whatever its parts raise
        return None
    if isinstance(value, int) and not _fits_long(value):
        return None  # no document holds it, and the driver refuses to ask for it
    return value[_DOCUMENT] if isinstance(value, dict) and set(value) == {_DOCUMENT} else value


def _uuid_subtype(value: object) -> int | None:
    if isinstance(value, UUID):
        return UUID_SUBTYPE
    if isinstance(value, Binary) and value.subtype in (UUID_SUBTYPE, OLD_UUID_SUBTYPE) and len(value) == _UUID_BYTES:
        return value.subtype
    return None


def _uuid(value: object, representation: int) -> UUID | None:
    subtype = _uuid_subtype(value)
    if isinstance(value, UUID) or subtype is None or not isinstance(value, Binary):
        return value if isinstance(value, UUID) else None
    return value.as_uuid(UuidRepresentation.STANDARD if subtype == UUID_SUBTYPE else representation)


def _object_id(text: str) -> ObjectId:
    if len(text) != 24:
        raise ValueError("no ObjectId")
    return ObjectId(bytes.fromhex(text))


def _number_kind(text: str) -> str:
    """The type of Extended JSON that can hold the number of this text."""
    if not text.lstrip("-").isdecimal():
        return "$numberDouble"
    return "$numberLong" if _fits_long(int(text)) else "$numberDecimal"


def _fits_long(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _whole(text: str) -> "int | Decimal128":
    if not text.lstrip("-").isdecimal() or len(text) > len(str(_WHOLE_MAX)):
        raise ValueError("not a whole number")
    number = int(text)
    return number if _fits_long(number) else Decimal128(text)


def _fraction(text: str) -> float:
    number = float(text)
    if number.is_integer() or not math.isfinite(number):
        raise ValueError("no fraction")
    return number


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("neither")
    return text == "true"


_READERS: tuple[Callable[[str], object], ...] = (_object_id, _whole, _fraction, datetime.fromisoformat, UUID, _truth)
