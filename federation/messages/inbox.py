"""Records to messages: long ones are put together from their parts, in bounded memory. Pure.

Nothing is kept for a sender whose signature has not been checked. A long message is announced by its signed list of digests, so its
parts need no signature each, and its size is known before the first is kept. What is refused has a code of DROP_REASONS.
"""

import hashlib

import msgspec

from contract.federation.fields import MESSAGE_BYTES_MAX, RECORD_BYTES_MAX
from contract.federation.frames import Announcement, Frame, Part, PartsAnnounced, Probe, SignedEnvelope
from federation.messages import envelope, rights
from federation.messages.envelope import (
    ANNOUNCEMENT_DOMAIN,
    Opened,
    Roster,
    attribute_refusals,
    check_right,
    check_time,
    decode_strictly,
    find_sender,
    hash_signed,
    read_envelope,
    read_message,
    unseal,
)
from federation.messages.identity import Identity
from federation.refusals import EnvelopeRefusedError
from federation.transports.ports import LogName

PENDING_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""What an inbox keeps of unfinished messages, all senders together; reached only if the senders of many long ones stop midway."""
PENDING_MS_MAX = 60 * 60 * 1000
"""From announcement to last part, by the log's clock. A sender appends them in one go; an announcement that stands alone is a copy."""
ANNOUNCED_BYTES, DIGEST_BYTES = 1_000, 200
"""What an announcement is reckoned to take in memory, and each of its digests."""
_HEADING_BYTES_MAX = 1_000
END_OF_TIME_MS = 2**53
_FRAMES: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_ANNOUNCEMENTS = msgspec.msgpack.Decoder(Announcement)


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
                return envelope.ENVELOPES.decode(first[:place] + b"\xc4\x00").sent_at_ms
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
        """`log`: on which the records stand; it decides what may be said, and by whom (federation.messages.rights).

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
        frame = decode_strictly(_FRAMES, record)
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
        heading = read_envelope(data, self._federation, self._reader)
        if heading.sender != pending.sender:
            raise EnvelopeRefusedError("unsigned", "announced by somebody else than its sender")
        check_right(heading, self._log, roster)
        sender = find_sender(heading.sender, roster)  # asked again: it may have been revoked since
        with attribute_refusals(heading.sender):
            check_time(heading, self._latest(now_ms))
            message = read_message(heading, self._reader)
        return Opened(heading, message, sender, SignedEnvelope(envelope=data, signature=b""))

    def _announce(self, frame: PartsAnnounced, roster: Roster, now_ms: int) -> None:
        announcement = decode_strictly(_ANNOUNCEMENTS, frame.announcement)
        if announcement.federation != self._federation:
            raise EnvelopeRefusedError("wrong_federation", "field federation names another one")
        if announcement.bytes > self._message_bytes_max:
            raise EnvelopeRefusedError("oversized", f"{announcement.bytes} bytes, at most {self._message_bytes_max}")
        office = rights.find_office(announcement.sender, on_roster=roster(announcement.sender) is not None)
        if office != "stranger" and not rights.may_write(self._log, office):
            raise EnvelopeRefusedError("no_right", f"an announcement of a {office} on {self._log}")
        count = len(announcement.digests)
        if not (count - 1) * envelope.PART_BYTES < announcement.bytes <= count * envelope.PART_BYTES:
            raise EnvelopeRefusedError("parts", "fields bytes and digests do not fit")
        if not find_sender(announcement.sender, roster).verify(
            frame.signature, hash_signed(frame.announcement), ANNOUNCEMENT_DOMAIN
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
