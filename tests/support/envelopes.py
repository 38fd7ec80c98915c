"""Messages of a federation as records, taken as a reader takes them; for tests of what arrives and what is refused."""

import hashlib

import msgspec
import pytest

from contract.federation.frames import Announcement, PartsAnnounced
from contract.federation.messages import Message, Refusal
from contract.federation.reasons import DROP_REASONS
from federation.messages.envelope import ANNOUNCEMENT_DOMAIN, Opened, seal, to_records
from federation.messages.inbox import Inbox
from federation.refusals import EnvelopeRefusedError
from support.masking_round import FEDERATION, NOW_MS, identity, roster

REFUSAL = Refusal(reason="data")


def record(message: Message = REFUSAL, sender: str = "alma", **changes: object) -> bytes:
    heading: dict[str, object] = {"federation": FEDERATION, "round_number": 3, "attempt": 1, "sent_at_ms": NOW_MS}
    return records(message, sender, **(heading | changes))[0]


def records(message: Message, signer: str = "alma", **heading: object) -> list[bytes]:
    heading = {"federation": FEDERATION, "sent_at_ms": NOW_MS} | heading
    return to_records(seal(message, identity(signer), **heading), identity(signer))  # type: ignore[arg-type]


def take(data: bytes, inbox: Inbox | None = None, now_ms: int = NOW_MS) -> Opened | None:
    """The message, where there is one; see `taken`."""
    return next(iter(taken(data, inbox, now_ms)), None)


def taken(data: bytes, inbox: Inbox | None = None, now_ms: int = NOW_MS) -> tuple[Opened, ...]:
    """By `inbox`, else by a new one of the coordinator's."""
    return (inbox or Inbox(FEDERATION, identity("coordinator"))).take(data, roster=roster, now_ms=now_ms)


def refused(data: bytes, inbox: Inbox | None = None, now_ms: int = NOW_MS) -> str:
    with pytest.raises(EnvelopeRefusedError) as error:
        take(data, inbox, now_ms)
    assert error.value.reason in DROP_REASONS
    return error.value.reason


def announcement_of(head: bytes) -> Announcement:
    """What the first record of a long message announces."""
    return msgspec.msgpack.decode(msgspec.msgpack.decode(head)[1], type=Announcement)


def announced(announcement: Announcement, signer: str) -> bytes:
    """The record that announces so much, signed by `signer`."""
    data = msgspec.msgpack.encode(announcement)
    signature = identity(signer).sign(hashlib.sha512(data).digest(), ANNOUNCEMENT_DOMAIN)
    return msgspec.msgpack.encode(PartsAnnounced(announcement=data, signature=signature))
