"""Messages to records and back: signed as a whole, sealed where they have one reader, cut where they are long. Pure.

`to_records` turns a signed message into records, each below a broker's limit; `unseal` opens one that is a record, and an `Inbox`
(federation.messages.inbox) puts long ones together. Whatever is forged, truncated, oversized, from the future or meant for others is refused with a
code of DROP_REASONS. Cheap checks come before dear ones.

Signatures carry a domain of their own (ML-DSA's context); a sealed body is bound to its whole heading through HPKE's info.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import msgspec

from contract.errors import InvalidEventError
from contract.federation.fields import CLOCK_TOLERANCE_MS, MESSAGE_BYTES_MAX, RECORD_BYTES_MAX, WIRE_VERSION
from contract.federation.frames import Announcement, Envelope, Part, PartsAnnounced, SignedEnvelope
from contract.federation.messages import Claim, EnrolmentRequest, Message, decode_message, encode_message, get_type_name
from federation.messages import rights
from federation.messages.identity import SIGNATURE_BYTES, Identity, PublicIdentity
from federation.refusals import EnvelopeRefusedError
from federation.transports.ports import LogName

ENVELOPE_DOMAIN = b"tillguard/federation/envelope/v1"
ANNOUNCEMENT_DOMAIN = b"tillguard/federation/announcement/v1"
_SEAL_DOMAIN = b"tillguard/federation/sealed-body/v1"
PART_BYTES = 850_000
"""With its frame, a part stays below RECORD_BYTES_MAX."""
SINGLE_BYTES_MAX = RECORD_BYTES_MAX - 2 * SIGNATURE_BYTES
"""An envelope up to this size is one record, with its signature."""

Roster = Callable[[str], PublicIdentity | None]
"""The keys of a sender's name; None for a stranger. A caller that knows somebody as revoked raises EnvelopeRefusedError."""

_ENCODER = msgspec.msgpack.Encoder()
ENVELOPES = msgspec.msgpack.Decoder(Envelope)
S = TypeVar("S")


class Opened(NamedTuple):
    """A message whose signature holds, for this federation and this reader."""

    envelope: Envelope
    message: Message
    sender: PublicIdentity
    """Whose key made the signature. For an enrolment or a claim it is the key that the message itself names."""
    signed: SignedEnvelope
    """To be passed on as it is, so that others can check the signature themselves; a long message has none of its own."""


def seal(
    message: Message,
    identity: Identity,
    *,
    federation: str,
    round_number: int = 0,
    attempt: int = 0,
    sent_at_ms: int,
    epoch: int = 0,
    reader: PublicIdentity | None = None,
    sender: str | None = None,
) -> SignedEnvelope:
    """`message`, signed by `identity` (under `sender` where it speaks for another office), sealed where it has one `reader`."""
    heading = Envelope(
        version=WIRE_VERSION,
        federation=federation,
        type=get_type_name(message),
        round=round_number,
        attempt=attempt,
        sender=sender or identity.name,
        recipient=reader.name if reader else None,
        sent_at_ms=sent_at_ms,
        epoch=epoch,
        body=b"",
    )
    body = encode_message(message)
    if reader:
        body = reader.seal(body, _seal_info(heading))
    if len(body) > MESSAGE_BYTES_MAX:
        raise EnvelopeRefusedError("oversized", f"{len(body)} bytes, at most {MESSAGE_BYTES_MAX}")
    envelope = _ENCODER.encode(msgspec.structs.replace(heading, body=body))
    return SignedEnvelope(envelope=envelope, signature=identity.sign(hash_signed(envelope), ENVELOPE_DOMAIN))


def to_records(signed: SignedEnvelope, identity: Identity) -> list[bytes]:
    """The records that carry `signed`, in order: one where it fits, else its signed announcement and its parts.

    The announcement signs the digests of all of a long envelope, so it takes the place of the envelope's own signature.
    """
    if len(signed.envelope) <= SINGLE_BYTES_MAX:
        return [_ENCODER.encode(signed)]
    envelope = ENVELOPES.decode(signed.envelope)
    pieces = [signed.envelope[start : start + PART_BYTES] for start in range(0, len(signed.envelope), PART_BYTES)]
    announcement = _ENCODER.encode(
        Announcement(
            federation=envelope.federation,
            sender=envelope.sender,
            bytes=len(signed.envelope),
            digests=tuple(hashlib.sha256(piece).digest() for piece in pieces),
        )
    )
    head = PartsAnnounced(
        announcement=announcement, signature=identity.sign(hash_signed(announcement), ANNOUNCEMENT_DOMAIN)
    )
    return [_ENCODER.encode(head), *(_ENCODER.encode(Part(data=piece)) for piece in pieces)]


def unseal(
    signed: SignedEnvelope,
    *,
    federation: str,
    roster: Roster,
    now_ms: int,
    reader: Identity | None = None,
    log: LogName = "updates",
) -> Opened:
    """The message in `signed`, which stands on `log`; raises EnvelopeRefusedError. `reader` opens what is sealed to it."""
    envelope = read_envelope(signed.envelope, federation, reader)
    check_right(envelope, log, roster)
    message: Message | None = None
    if envelope.type in _SELF_SIGNED and envelope.recipient is None:
        message = _read_body(envelope.body, envelope.type)
        sender = _self_signed(message, envelope.sender)
    else:
        sender = find_sender(envelope.sender, roster)
    if not sender.verify(signed.signature, hash_signed(signed.envelope), ENVELOPE_DOMAIN):
        raise EnvelopeRefusedError("unsigned", f"type {envelope.type}")
    with attribute_refusals(envelope.sender):
        check_time(envelope, now_ms)
        return Opened(envelope, message or read_message(envelope, reader), sender, signed)


@contextmanager
def attribute_refusals(sender: str) -> Iterator[None]:
    """What is refused from here on is known to be of `sender`."""
    try:
        yield
    except EnvelopeRefusedError as error:
        error.sender = sender
        raise


def check_right(envelope: Envelope, log: LogName, roster: Roster) -> None:
    """By the name alone, before anything dear is done."""
    office = rights.find_office(envelope.sender, on_roster=roster(envelope.sender) is not None)
    reason = rights.find_objection(log, envelope.type, office)
    if reason is not None:
        raise EnvelopeRefusedError(reason, f"type {envelope.type[:32]!a} of a {office} on {log}")


def check_time(envelope: Envelope, now_ms: int) -> None:
    """After the signature, so that whoever's clock is wrong can be named."""
    ahead_ms = envelope.sent_at_ms - now_ms
    if ahead_ms > CLOCK_TOLERANCE_MS:
        raise EnvelopeRefusedError("time", f"the sender's clock is {ahead_ms // 60_000} minutes ahead of the log's")


def find_sender(name: str, roster: Roster) -> PublicIdentity:
    """The keys of a name on the roster; raises EnvelopeRefusedError for a stranger."""
    known = roster(name)
    if known is None:
        raise EnvelopeRefusedError("unknown_sender", "field sender names nobody on the roster")
    return known


_SELF_SIGNED = frozenset({"enrolment", "claim"})
"""Signed with the keys they name: who may enrol is an operator's decision, and a participant knows its coordinator by fingerprint."""


def _self_signed(message: Message, name: str) -> PublicIdentity:
    if not isinstance(message, EnrolmentRequest | Claim):
        raise EnvelopeRefusedError("malformed", "the body is no message of its type")
    sender = PublicIdentity(name=name, signing_key=message.signing_key, sealing_key=message.sealing_key)
    if not sender.is_valid():
        raise EnvelopeRefusedError("malformed", "fields signing_key and sealing_key hold no keys")
    return sender


def read_envelope(data: bytes, federation: str, reader: Identity | None) -> Envelope:
    """The heading's own checks: all that need no key."""
    envelope = decode_strictly(ENVELOPES, data)
    if envelope.version != WIRE_VERSION:
        raise EnvelopeRefusedError(
            "malformed", f"field version is {envelope.version}, this build speaks {WIRE_VERSION}"
        )
    if envelope.federation != federation:
        raise EnvelopeRefusedError("wrong_federation", "field federation names another one")
    if envelope.recipient is not None and (reader is None or envelope.recipient != reader.name):
        raise EnvelopeRefusedError("unreadable", "field recipient names another reader")
    return envelope


def read_message(envelope: Envelope, reader: Identity | None) -> Message:
    """The body, opened where it is sealed; called once its signature holds."""
    if envelope.recipient is None or reader is None:
        return _read_body(envelope.body, envelope.type)
    body = reader.unseal(envelope.body, _seal_info(envelope))
    if body is None:
        raise EnvelopeRefusedError("unreadable", "the body was sealed to other keys or for another heading")
    return _read_body(body, envelope.type)


def _read_body(body: bytes, kind: str) -> Message:
    try:
        message = decode_message(body)
    except InvalidEventError as error:
        raise EnvelopeRefusedError("oversized" if error.reason == "oversized" else "malformed", error.detail) from None
    if get_type_name(message) != kind:
        raise EnvelopeRefusedError("malformed", "the body is no message of its type")
    return message


def decode_strictly(decoder: "msgspec.msgpack.Decoder[S]", data: bytes) -> S:
    """Decodes, and insists on the one encoding that this code writes: equal messages have equal bytes and digests."""
    try:
        decoded = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise EnvelopeRefusedError("malformed", type(error).__name__) from None
    if _ENCODER.encode(decoded) != data:
        raise EnvelopeRefusedError("malformed", "an encoding that no sender of this version writes")
    return decoded


def hash_signed(data: bytes) -> bytes:
    """What is signed: a digest, since an envelope may have hundreds of megabytes and ML-DSA's own hash is slower."""
    return hashlib.sha512(data).digest()


def _seal_info(envelope: Envelope) -> bytes:
    return _SEAL_DOMAIN + _ENCODER.encode(msgspec.structs.replace(envelope, body=b""))
