"""Messages to records and back: signed as a whole, sealed where they have one reader, cut where they are long. Pure.

`pack` turns a message into records, each below a broker's limit; an `Inbox` turns records into messages again and refuses,
with a code of DROP_REASONS, whatever is forged, truncated, oversized, from the future or meant for others. Cheap checks come
before dear ones, and nothing is kept for a sender whose signature has not been checked. A long message is announced by its
signed list of digests, so its parts need no signature each, and its size is known before the first is kept.

Signatures carry a domain of their own (ML-DSA's context); a sealed body is bound to its whole heading through HPKE's info.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import msgspec

from contract.errors import InvalidEventError
from contract.federation import (
    CLOCK_TOLERANCE_MS,
    MESSAGE_BYTES_MAX,
    RECORD_BYTES_MAX,
    WIRE_VERSION,
    Announcement,
    Claim,
    EnrolmentRequest,
    Envelope,
    Frame,
    Message,
    Part,
    PartsAnnounced,
    Probe,
    SignedEnvelope,
    decode_message,
    encode_message,
    type_of,
)
from federation import rights
from federation.identity import SIGNATURE_BYTES, Identity, PublicIdentity
from federation.refusals import EnvelopeRefusedError
from federation.transports.ports import LogName

ENVELOPE_DOMAIN = b"tillguard/federation/envelope/v1"
ANNOUNCEMENT_DOMAIN = b"tillguard/federation/announcement/v1"
_SEAL_DOMAIN = b"tillguard/federation/sealed-body/v1"
PART_BYTES = 850_000
"""With its frame, a part stays below RECORD_BYTES_MAX."""
SINGLE_BYTES_MAX = RECORD_BYTES_MAX - 2 * SIGNATURE_BYTES
"""An envelope up to this size is one record, with its signature."""
PENDING_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""What an inbox keeps of unfinished messages, all senders together; reached only if the senders of many long ones stop midway."""
PENDING_MS_MAX = 60 * 60 * 1000
"""From announcement to last part, by the log's clock. A sender appends them in one go; an announcement that stands alone is a copy."""
ANNOUNCED_BYTES, DIGEST_BYTES = 1_000, 200
"""What an announcement is reckoned to take in memory, and each of its digests."""
_HEADING_BYTES_MAX = 1_000
END_OF_TIME_MS = 2**53

Roster = Callable[[str], PublicIdentity | None]
"""The keys of a sender's name; None for a stranger. A caller that knows somebody as revoked raises EnvelopeRefusedError."""

_ENCODER = msgspec.msgpack.Encoder()
_FRAMES: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_ENVELOPES = msgspec.msgpack.Decoder(Envelope)
_ANNOUNCEMENTS = msgspec.msgpack.Decoder(Announcement)
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
        type=type_of(message),
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
    return SignedEnvelope(envelope=envelope, signature=identity.sign(_signed_bytes(envelope), ENVELOPE_DOMAIN))


def to_records(signed: SignedEnvelope, identity: Identity) -> list[bytes]:
    """The records that carry `signed`, in order: one where it fits, else its signed announcement and its parts.

    The announcement signs the digests of all of a long envelope, so it takes the place of the envelope's own signature.
    """
    if len(signed.envelope) <= SINGLE_BYTES_MAX:
        return [_ENCODER.encode(signed)]
    envelope = _ENVELOPES.decode(signed.envelope)
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
        announcement=announcement, signature=identity.sign(_signed_bytes(announcement), ANNOUNCEMENT_DOMAIN)
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
    envelope = _read_envelope(signed.envelope, federation, reader)
    _check_right(envelope, log, roster)
    message: Message | None = None
    if envelope.type in _SELF_SIGNED and envelope.recipient is None:
        message = _read_body(envelope.body, envelope.type)
        sender = _self_signed(message, envelope.sender)
    else:
        sender = _known(envelope.sender, roster)
    if not sender.verify(signed.signature, _signed_bytes(signed.envelope), ENVELOPE_DOMAIN):
        raise EnvelopeRefusedError("unsigned", f"type {envelope.type}")
    with _said_by(envelope.sender):
        _check_time(envelope, now_ms)
        return Opened(envelope, message or _read_message(envelope, reader), sender, signed)


@contextmanager
def _said_by(sender: str) -> Iterator[None]:
    """What is refused from here on is known to be of `sender`."""
    try:
        yield
    except EnvelopeRefusedError as error:
        error.sender = sender
        raise


def _check_right(envelope: Envelope, log: LogName, roster: Roster) -> None:
    """By the name alone, before anything dear is done."""
    office = rights.office_of(envelope.sender, on_roster=roster(envelope.sender) is not None)
    reason = rights.objection(log, envelope.type, office)
    if reason is not None:
        raise EnvelopeRefusedError(reason, f"type {envelope.type[:32]!a} of a {office} on {log}")


def _check_time(envelope: Envelope, now_ms: int) -> None:
    """After the signature, so that whoever's clock is wrong can be named."""
    ahead_ms = envelope.sent_at_ms - now_ms
    if ahead_ms > CLOCK_TOLERANCE_MS:
        raise EnvelopeRefusedError("time", f"the sender's clock is {ahead_ms // 60_000} minutes ahead of the log's")


def _known(name: str, roster: Roster) -> PublicIdentity:
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


def _read_envelope(data: bytes, federation: str, reader: Identity | None) -> Envelope:
    """The heading's own checks: all that need no key."""
    envelope = _decode(_ENVELOPES, data)
    if envelope.version != WIRE_VERSION:
        raise EnvelopeRefusedError(
            "malformed", f"field version is {envelope.version}, this build speaks {WIRE_VERSION}"
        )
    if envelope.federation != federation:
        raise EnvelopeRefusedError("wrong_federation", "field federation names another one")
    if envelope.recipient is not None and (reader is None or envelope.recipient != reader.name):
        raise EnvelopeRefusedError("unreadable", "field recipient names another reader")
    return envelope


def _read_message(envelope: Envelope, reader: Identity | None) -> Message:
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
    if type_of(message) != kind:
        raise EnvelopeRefusedError("malformed", "the body is no message of its type")
    return message


def _decode(decoder: "msgspec.msgpack.Decoder[S]", data: bytes) -> S:
    """Decodes, and insists on the one encoding that this code writes: equal messages have equal bytes and digests."""
    try:
        decoded = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise EnvelopeRefusedError("malformed", type(error).__name__) from None
    if _ENCODER.encode(decoded) != data:
        raise EnvelopeRefusedError("malformed", "an encoding that no sender of this version writes")
    return decoded


def _signed_bytes(data: bytes) -> bytes:
    """What is signed: a digest, since an envelope may have hundreds of megabytes and ML-DSA's own hash is slower."""
    return hashlib.sha512(data).digest()


def _seal_info(envelope: Envelope) -> bytes:
    return _SEAL_DOMAIN + _ENCODER.encode(msgspec.structs.replace(envelope, body=b""))


class _Pending:
    """A long message, announced and signed, of which not all parts have come."""

    def __init__(self, announcement: Announcement, announced_ms: int) -> None:
        self.sender = announcement.sender
        self.digests = announcement.digests
        self.bytes = announcement.bytes
        self.missing = set(announcement.digests)
        self.data: dict[bytes, bytes] = {}
        self.announced_ms = announced_ms
        self.sent_at_ms: int | None = None
        """As its first part says; None before that has come."""
        self.held = ANNOUNCED_BYTES + DIGEST_BYTES * len(announcement.digests)
        """Bytes of memory, about."""

    def add(self, digest: bytes, data: bytes) -> None:
        self.missing.discard(digest)
        self.data[digest] = data
        self.held += len(data)
        if digest == self.digests[0]:
            self.sent_at_ms = _sent_at_ms(data, self.bytes)

    @property
    def worth(self) -> tuple[int, int]:
        """The least goes first where room is short: parts without a first one, then the oldest message, a mere announcement last.

        So whatever was said before cannot push out what is being said, however much of it is appended again.
        """
        if not self.data:
            return 2, 0
        return (0, 0) if self.sent_at_ms is None else (1, self.sent_at_ms)


def _sent_at_ms(first: bytes, size: int) -> int | None:
    """Of the envelope of `size` bytes that begins so: its body comes last, and is most of it."""
    for place in range(min(len(first), _HEADING_BYTES_MAX)):
        width = {0xC5: 2, 0xC6: 4}.get(first[place], 0)
        start = place + 1 + width
        if width and int.from_bytes(first[place + 1 : start]) == size - start:
            try:
                return _ENVELOPES.decode(first[:place] + b"\xc4\x00").sent_at_ms
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
                continue
    return None


class Inbox:
    """Puts records together to messages, for one federation and reader. Bounded in memory, per sender and in all.

    Anybody may append copies of announcements and parts, between those of another message, too: they take the place of none
    that is newer, and are forgotten after PENDING_MS_MAX.
    """

    def __init__(
        self,
        federation: str,
        reader: Identity | None = None,
        *,
        log: LogName = "updates",
        any_time: bool = False,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
    ) -> None:
        """`log`: on which the records stand; it decides what may be said, and by whom (federation.rights).

        `any_time`: for readers of what a coordinator has said, which stands, whatever its clock showed.
        """
        self._any_time = any_time
        self._federation = federation
        self._log: LogName = log
        self._reader = reader
        self._message_bytes_max = message_bytes_max
        self._pending: dict[tuple[str, bytes], _Pending] = {}

    @property
    def pending(self) -> int:
        """How many announced messages are not complete; at 0 no earlier record is needed again."""
        return len(self._pending)

    def take(self, record: bytes, *, roster: Roster, now_ms: int) -> tuple[Opened, ...]:
        """The message that `record` holds or completes; none while parts are missing; raises EnvelopeRefusedError.

        A part may complete several long messages: two may share it, and anybody may announce another's.
        """
        self._expire(now_ms)
        if len(record) > RECORD_BYTES_MAX:
            raise EnvelopeRefusedError("oversized", f"{len(record)} bytes, at most {RECORD_BYTES_MAX}")
        frame = _decode(_FRAMES, record)
        if isinstance(frame, Probe):
            return ()
        if isinstance(frame, PartsAnnounced):
            self._announce(frame, roster, now_ms)
            return ()
        if isinstance(frame, SignedEnvelope):
            opened = unseal(
                frame,
                federation=self._federation,
                roster=roster,
                now_ms=self._latest(now_ms),
                reader=self._reader,
                log=self._log,
            )
            return (opened,)
        return self._open_all(self._add_part(frame), roster, now_ms)

    def _latest(self, now_ms: int) -> int:
        return END_OF_TIME_MS if self._any_time else now_ms

    def forget(self, sender: str) -> None:
        """Drops what is unfinished of `sender` (it was revoked, or its round is over)."""
        for key in [key for key in self._pending if key[0] == sender]:
            del self._pending[key]

    def _expire(self, now_ms: int) -> None:
        for key, pending in list(self._pending.items()):
            if now_ms - pending.announced_ms <= PENDING_MS_MAX:
                return
            del self._pending[key]

    def _open_all(self, complete: list[_Pending], roster: Roster, now_ms: int) -> tuple[Opened, ...]:
        """In the order in which they were sent; what somebody announced of another's parts is passed over."""
        found: list[Opened] = []
        refusal: EnvelopeRefusedError | None = None
        for pending in complete:
            try:
                found.append(self._open_long(pending, roster, now_ms))
            except EnvelopeRefusedError as error:
                refusal = error
        if refusal and not found:
            raise refusal
        return tuple(sorted(found, key=lambda opened: opened.envelope.sent_at_ms))

    def _open_long(self, pending: _Pending, roster: Roster, now_ms: int) -> Opened:
        """A long message, whose sender signed the digests of all its bytes. It has no signature that could be passed on."""
        data = b"".join(pending.data[digest] for digest in pending.digests)
        if len(data) != pending.bytes:
            raise EnvelopeRefusedError("parts", "field bytes does not fit the parts")
        envelope = _read_envelope(data, self._federation, self._reader)
        if envelope.sender != pending.sender:
            raise EnvelopeRefusedError("unsigned", "announced by somebody else than its sender")
        _check_right(envelope, self._log, roster)
        sender = _known(envelope.sender, roster)  # asked again: it may have been revoked since
        with _said_by(envelope.sender):
            _check_time(envelope, self._latest(now_ms))
            message = _read_message(envelope, self._reader)
        return Opened(envelope, message, sender, SignedEnvelope(envelope=data, signature=b""))

    def _announce(self, frame: PartsAnnounced, roster: Roster, now_ms: int) -> None:
        announcement = _decode(_ANNOUNCEMENTS, frame.announcement)
        if announcement.federation != self._federation:
            raise EnvelopeRefusedError("wrong_federation", "field federation names another one")
        if announcement.bytes > self._message_bytes_max:
            raise EnvelopeRefusedError("oversized", f"{announcement.bytes} bytes, at most {self._message_bytes_max}")
        office = rights.office_of(announcement.sender, on_roster=roster(announcement.sender) is not None)
        if office != "stranger" and not rights.may_write(self._log, office):
            raise EnvelopeRefusedError("no_right", f"an announcement of a {office} on {self._log}")
        count = len(announcement.digests)
        if not (count - 1) * PART_BYTES < announcement.bytes <= count * PART_BYTES:
            raise EnvelopeRefusedError("parts", "fields bytes and digests do not fit")
        if not _known(announcement.sender, roster).verify(
            frame.signature, _signed_bytes(frame.announcement), ANNOUNCEMENT_DOMAIN
        ):
            raise EnvelopeRefusedError("unsigned", "an announcement")
        key = (announcement.sender, hashlib.sha256(frame.announcement).digest())
        if key in self._pending:
            raise EnvelopeRefusedError("duplicate", "announced already")
        self._pending[key] = _Pending(announcement, now_ms)
        self._evict()

    def _add_part(self, part: Part) -> list[_Pending]:
        """What `part` completes; such messages are no longer pending."""
        digest = hashlib.sha256(part.data).digest()
        wanted = [key for key, pending in self._pending.items() if digest in pending.missing]
        if not wanted:
            raise EnvelopeRefusedError("parts", "belongs to no announced message")
        for key in wanted:
            self._pending[key].add(digest, part.data)
        complete = [self._pending.pop(key) for key in wanted if not self._pending[key].missing]
        self._evict()
        return complete

    def _evict(self) -> None:
        """Past a bound, whoever holds most loses what is worth least: one sender cannot push out another's message."""
        held: dict[str, int] = {}
        for pending in self._pending.values():
            held[pending.sender] = held.get(pending.sender, 0) + pending.held
        own_max = min(2 * self._message_bytes_max, PENDING_BYTES_MAX)
        while held and (sum(held.values()) > PENDING_BYTES_MAX or max(held.values()) > own_max):
            worst = max(held, key=lambda sender: held[sender])
            least = min((key for key in self._pending if key[0] == worst), key=lambda key: self._pending[key].worth)
            held[worst] -= self._pending.pop(least).held
