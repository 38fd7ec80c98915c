"""Bytes to messages and back, and the checks that a type alone cannot make.

Every fault is an InvalidEventError whose reason is a code of `contract.dead_letters.REASONS`; it names fields, never values.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError
from contract.events import Transaction
from contract.money import convert_to_base_minor

DOCUMENT_BYTES_MAX = 64 * 1024
"""A transaction's JSON is some 700 bytes; a document this large is a mistake or an attack."""
DEAD_LETTER_BYTES_MAX = 2 * DOCUMENT_BYTES_MAX
"""A dead letter may hold a whole document in base64 (4/3 of its size), and says what is wrong with it."""

_PATH = re.compile(r" - at `\$\.?([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"unknown field `([a-z][a-z_]{0,63})`")
_VALUE = re.compile(r"['\"].*['\"]", re.DOTALL)
"""msgspec quotes a refused value by `repr`; greedy, since the value may hold quotes of its own."""

_ENCODER = msgspec.json.Encoder()
M = TypeVar("M")


def encode(message: msgspec.Struct) -> bytes:
    """`message` as JSON."""
    return _ENCODER.encode(message)


class Decoder(Generic[M]):
    """Decodes one message type; made once, used for every message."""

    def __init__(self, message_type: type[M], *, bytes_max: int | None = None) -> None:
        usual = DEAD_LETTER_BYTES_MAX if message_type is DeadLetter else DOCUMENT_BYTES_MAX
        self._decoder = msgspec.json.Decoder(message_type)
        self._bytes_max = usual if bytes_max is None else bytes_max

    def decode(self, data: bytes | None) -> M:
        """The message in `data`; raises InvalidEventError for anything else, whatever the bytes."""
        if data is None:
            raise InvalidEventError("malformed", "the message is empty")
        if len(data) > self._bytes_max:
            raise InvalidEventError("oversized", f"{len(data)} bytes, at most {self._bytes_max}")
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            raise _as_invalid(str(error)) from None
        except msgspec.DecodeError as error:
            raise InvalidEventError("malformed", str(error)) from None
        except UnicodeDecodeError:
            raise InvalidEventError("encoding", "text that is not valid UTF-8") from None
        except RecursionError:
            raise InvalidEventError("malformed", "nested too deeply") from None


def _as_invalid(message: str) -> InvalidEventError:
    message = _VALUE.sub("(value withheld)", message)
    missing = _MISSING.search(message)
    path = _PATH.search(message)
    where = path.group(1) if path else ""
    if missing:
        name = f"{where}.{missing.group(1)}" if where else missing.group(1)
        return InvalidEventError("field_missing", f"field {name} is missing", name)
    unknown = _UNKNOWN.search(message)
    if unknown:
        name = f"{where}.{unknown.group(1)}" if where else unknown.group(1)
        return InvalidEventError("field_invalid", f"{name}: there is no such field", name)
    if where and "got `null`" in message:
        return InvalidEventError("field_missing", f"field {where} is null", where)
    if where == "amount_minor":
        return InvalidEventError("amount_invalid", f"amount_minor: {_PATH.sub('', message)}", where)
    if not where:
        return InvalidEventError("malformed", message)
    return InvalidEventError("field_invalid", f"{where}: {_PATH.sub('', message)}", where)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a retailer accepts as a transaction, beyond its form."""

    retailer: str
    base_currency: str
    rates: Mapping[str, float] = field(default_factory=dict)
    earliest_event_time: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    future_tolerance: timedelta = timedelta(minutes=5)

    def admit(self, transaction: Transaction, now: datetime) -> int:
        """The amount in minor units of the base currency; raises InvalidEventError for what must not be judged."""
        if transaction.retailer != self.retailer:
            raise InvalidEventError("retailer_mismatch", "field retailer names another retailer", "retailer")
        self.check_time("event_time", transaction.event_time, now)
        return convert_to_base_minor(transaction.amount_minor, transaction.currency, self.base_currency, self.rates)

    def check_time(self, name: str, moment: datetime, now: datetime) -> None:
        """Raises InvalidEventError where `moment`, the field `name`, lies in the future or too far back."""
        if moment > now + self.future_tolerance:
            raise InvalidEventError("time_future", f"{name} is ahead of the clock", name)
        if moment < self.earliest_event_time:
            raise InvalidEventError("time_too_old", f"{name} lies before earliest_event_time", name)
