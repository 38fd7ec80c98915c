"""What stands on a record of the federation's topics: a signed envelope, or a part of one that is too long for a record. Pure."""

from typing import Annotated

from msgspec import Meta, Struct

from contract.federation.fields import (
    MESSAGE_BYTES_MAX,
    RECORD_BYTES_MAX,
    Attempt,
    Count,
    Digest,
    Moment,
    Payload,
    RoundNumber,
    SenderName,
)


class Envelope(Struct, frozen=True, kw_only=True, array_like=True):
    """What is signed. `body` is a Message in msgpack, or its HPKE ciphertext where `recipient` is named."""

    version: Annotated[int, Meta(ge=1, le=255)]
    federation: SenderName
    type: Annotated[str, Meta(max_length=32)]
    round: RoundNumber
    attempt: Attempt
    sender: SenderName
    recipient: SenderName | None
    sent_at_ms: Moment
    epoch: Count
    """Of the coordinator that speaks, or that the sender has last heard."""
    body: Payload


class SignedEnvelope(Struct, frozen=True, kw_only=True, tag="envelope", array_like=True):
    """One record: an envelope's bytes and the ML-DSA-65 signature over them."""

    envelope: Annotated[bytes, Meta(max_length=RECORD_BYTES_MAX)]
    signature: Annotated[bytes, Meta(max_length=8_192)]


class PartsAnnounced(Struct, frozen=True, kw_only=True, tag="parts", array_like=True):
    """Goes before the parts of a long message, signed, so that nothing is stored for a stranger.

    `announcement` is an Announcement in msgpack; the parts are told by their digests.
    """

    announcement: Annotated[bytes, Meta(max_length=64 * 1024)]
    signature: Annotated[bytes, Meta(max_length=8_192)]


class Announcement(Struct, frozen=True, kw_only=True, array_like=True):
    """The digests of a long message's parts, in order."""

    federation: SenderName
    sender: SenderName
    bytes: Annotated[int, Meta(ge=1, le=MESSAGE_BYTES_MAX)]
    digests: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=512)]


class Part(Struct, frozen=True, kw_only=True, tag="part", array_like=True):
    """One part, recognised by the digest of its data."""

    data: Annotated[bytes, Meta(min_length=1, max_length=RECORD_BYTES_MAX)]


class Probe(Struct, frozen=True, kw_only=True, tag="probe", array_like=True):
    """Says nothing and counts for nothing: its writer wants to know the broker's time, which comes with every record."""

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]


Frame = SignedEnvelope | PartsAnnounced | Part | Probe
