"""Masked secure aggregation: the coordinator learns the sum of all survivors' words and nothing else of any of them. Pure.

After Bonawitz et al. (CCS 2017) and, for many members, Bell et al. (CCS 2020), with a hybrid post-quantum KEM instead of
Diffie-Hellman. This module holds what both sides must agree on; `member_side` and `coordinator_side` are the two sides.

    keys        each member: two sealing keys made for this attempt (`channel`, `mask`) and a commitment to its self mask
    shares      each member, to each neighbour: sealed to its channel key, a Shamir share of its two secrets, the self-mask
                seed b and the key seed k; and, to half of them, a pair seed sealed to the neighbour's mask key
    updates     words + PRG(b) + sum of PRG(pair) over later neighbours - sum over earlier ones
    unmasking   for each survivor of the neighbourhood its share of b, for each dropped one its share of k; never both

Pair seeds: of two neighbours one is the giver (`is_giver`), and derives the seed from its k; the other receives it under its
mask key, which is derived from its own k. So k alone opens every mask of a dropped member, and nothing else: shares travel
under the channel key, which nobody can rebuild. Were both one key, dropping a member would show the coordinator its
neighbours' shares as well.

All is bound to the transcript, a digest of the plan and of everyone's keys: members who were shown different keys cannot open
each other's shares, and nothing of another round or attempt opens or cancels. Keys and shares are believed only in their
maker's signed envelope. Shares carry digests, so whoever answers with a wrong one is named and the sum continues without it.

A member that lies about its words is not detected: masks hide it. That is what mode `robust` is for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from contract.federation.frames import SignedEnvelope
from contract.federation.messages import MaskKeys, Message, RoundPlan
from federation.messages.envelope import Roster, unseal
from federation.messages.sealing import PUBLIC_BYTES, SEED_BYTES, derive, is_public_key
from federation.numeric.fixed_point import FixedPoint
from federation.numeric.masks import RING_TYPES
from federation.numeric.tensors import count_summed, has_clipped_count
from federation.refusals import EnvelopeRefusedError, MaskingRefusedError
from federation.secagg.graph import MEMBERS_MIN, NEIGHBOURS, compute_cohort_threshold
from federation.secagg.shamir import SHARE_BYTES

DIGEST_BYTES = 32
_DOMAIN = b"tillguard/federation/secagg/v1"


class MaskingPlan(Struct, frozen=True, kw_only=True, array_like=True):
    """What an attempt sums up; equal for everyone, from the coordinator's signed plan."""

    federation: str
    round: int
    attempt: int
    cohort: tuple[str, ...]
    members_min: int
    """How many must have sent keys, and must stay to the end."""
    words: int
    bits: int
    neighbours: int = NEIGHBOURS

    def __post_init__(self) -> None:
        if self.bits not in RING_TYPES or self.words < 1:
            raise MaskingRefusedError("plan", "a ring of 8, 16, 32 or 64 bits, and at least one word")
        if len(set(self.cohort)) != len(self.cohort) or not MEMBERS_MIN <= self.members_min <= len(self.cohort):
            raise MaskingRefusedError("plan", f"{MEMBERS_MIN} <= members_min <= distinct members of the cohort")


def build_masking_plan(federation: str, plan: RoundPlan) -> MaskingPlan:
    """The masking part of a round's plan: a word for each number of the sum, for the weight, and for what else is counted."""
    if plan.masking is None:
        raise MaskingRefusedError("plan", "field masking is missing")
    least = compute_cohort_threshold(len(plan.cohort), plan.masking.neighbours)
    if plan.masking.threshold != least:
        raise MaskingRefusedError("plan", f"field threshold is {plan.masking.threshold}, this graph needs {least}")
    return MaskingPlan(
        federation=federation,
        round=plan.round,
        attempt=plan.attempt,
        cohort=plan.cohort,
        members_min=plan.updates_min,
        words=count_summed(plan) + 1 + has_clipped_count(plan),
        bits=plan.masking.ring_bits,
        neighbours=plan.masking.neighbours,
    )


def check_overflow(plan: MaskingPlan, scale: float, bound: float) -> FixedPoint:
    """The fixed point of a plan; raises MaskingRefusedError(overflow) where the cohort's sum could leave the ring."""
    return FixedPoint(bits=plan.bits, scale=scale, bound=bound, addends=len(plan.cohort))


class Attempts(Struct, kw_only=True):
    """The newest attempt that a participant made keys for: kept on its disk, written before the keys are sent."""

    round: int = -1
    attempt: int = -1

    def is_before(self, plan: MaskingPlan | RoundPlan) -> bool:
        """Whether `plan` is newer than all that was joined."""
        return (plan.round, plan.attempt) > (self.round, self.attempt)

    def admit(self, plan: MaskingPlan | RoundPlan) -> None:
        """Moves on to `plan`; raises MaskingRefusedError(stage) for an earlier round, and for an attempt that was used."""
        if not self.is_before(plan):
            raise MaskingRefusedError(
                "stage", f"round {plan.round} attempt {plan.attempt} is not after {self.round}/{self.attempt}"
            )
        self.round, self.attempt = plan.round, plan.attempt


class PublicKeys(NamedTuple):
    """What a member sends in stage keys."""

    channel: bytes
    mask: bytes
    commitment: bytes
    """Of the self-mask seed."""


def join_keys(keys: PublicKeys) -> MaskKeys:
    """As a message: 1,216 + 1,216 + 32 bytes."""
    return MaskKeys(key=b"".join(keys))


def split_keys(message: MaskKeys) -> PublicKeys:
    """As sent; raises MaskingRefusedError(keys) for anything but two valid keys and a commitment."""
    key = message.key
    if len(key) != 2 * PUBLIC_BYTES + DIGEST_BYTES:
        raise MaskingRefusedError("keys", "field key has a wrong length")
    keys = PublicKeys(key[:PUBLIC_BYTES], key[PUBLIC_BYTES : 2 * PUBLIC_BYTES], key[2 * PUBLIC_BYTES :])
    if not (is_public_key(keys.channel) and is_public_key(keys.mask)):
        raise MaskingRefusedError("keys", "field key holds no valid keys")
    return keys


class SealedPair(Struct, frozen=True, kw_only=True, array_like=True):
    """What `owner` prepares for `holder`; travels as SealedShare.sealed. For itself, digests only."""

    self_digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    key_digest: Annotated[bytes, Meta(min_length=32, max_length=32)]
    shares: Annotated[bytes, Meta(max_length=2_048)]
    """A share of b and one of k, 33 bytes each, under the holder's channel key."""
    seed: Annotated[bytes, Meta(max_length=2_048)]
    """The pair seed under the holder's mask key; empty where the holder is the giver."""


_PAIRS = msgspec.msgpack.Decoder(SealedPair)


def decode_pair(data: bytes, owner: str) -> SealedPair:
    """The pair in `data`; raises MaskingRefusedError(shares) naming `owner`."""
    try:
        return _PAIRS.decode(data)
    except msgspec.MsgspecError:
        raise MaskingRefusedError("shares", f"of {owner} are malformed") from None


def split_shares(text: bytes) -> tuple[bytes, bytes]:
    """The share of b and that of k."""
    return text[:SHARE_BYTES], text[SHARE_BYTES:]


class Transcript(NamedTuple):
    """Everything that an attempt's secrets are bound to."""

    digest: bytes

    def make_info(self, purpose: bytes, *names: str) -> bytes:
        """Context for a sealed text or a digest."""
        parts = (_DOMAIN, purpose, self.digest, *(name.encode() for name in names))
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)

    def derive_key(self, secret: bytes, purpose: bytes, *names: str) -> bytes:
        """HKDF of `secret` for one purpose of this attempt, 32 bytes."""
        return derive(secret, self.make_info(purpose, *names))

    def hash_share(self, owner: str, holder: str, kind: bytes, share: bytes) -> bytes:
        """By which everyone can tell the owner's share from another; says nothing of it, since a share is random."""
        return hashlib.sha256(self.make_info(b"share " + kind, owner, holder) + share).digest()

    def derive_self_mask(self, seed: bytes, owner: str) -> bytes:
        """The stream's key of the owner's self mask."""
        return self.derive_key(seed, b"self mask", owner)

    def derive_pair_mask(self, seed: bytes, one: str, other: str) -> bytes:
        """The stream's key of a pair's mask, the same on both sides."""
        return self.derive_key(seed, b"pair mask", *sorted((one, other)))

    def derive_pair_seed(self, key_seed: bytes, giver: str, receiver: str) -> bytes:
        """The pair seed, derived from the giver's k."""
        return self.derive_key(key_seed, b"pair seed", giver, receiver)


def compute_transcript(plan: MaskingPlan, keys: Mapping[str, PublicKeys]) -> Transcript:
    """The digest of the plan and of everyone's keys, whoever computes it."""
    content = msgspec.msgpack.encode((plan, [(name, *keys[name]) for name in sorted(keys)]))
    return Transcript(hashlib.sha256(_DOMAIN + b" transcript" + content).digest())


def derive_mask_key_seed(key_seed: bytes) -> bytes:
    """Seed of the mask sealing key, from k; before the transcript exists, so bound to k alone, which is used once."""
    return derive(key_seed, _DOMAIN, b"mask key")


def commit_to(self_seed: bytes) -> bytes:
    """To the self-mask seed, sent with the keys: hides it, since it has 256 random bits."""
    return hashlib.sha256(_DOMAIN + b" commitment" + self_seed).digest()


def is_giver(one: str, other: str, members: Sequence[str]) -> bool:
    """Whether `one` is the giver of the pair's seed: an even division, half of the pairs each."""
    low, high = sorted((members.index(one), members.index(other)))
    giver = members[low] if (low + high) % 2 else members[high]
    return one == giver


def open_signed(
    envelopes: Sequence[SignedEnvelope], kind: str, plan: MaskingPlan, roster: Roster, now_ms: int
) -> dict[str, Message]:
    """Each sender's message, every signature checked; raises MaskingRefusedError(keys | shares) for whatever does not belong."""
    reason = "keys" if kind == "keys" else "shares"
    if len(envelopes) > len(plan.cohort):
        raise MaskingRefusedError(reason, "more envelopes than members of the cohort")
    found: dict[str, Message] = {}
    for signed in envelopes:
        try:
            opened = unseal(signed, federation=plan.federation, roster=roster, now_ms=now_ms)
        except EnvelopeRefusedError as error:
            raise MaskingRefusedError(reason, f"an envelope is {error.reason}") from None
        heading = opened.envelope
        if (heading.type, heading.round, heading.attempt) != (kind, plan.round, plan.attempt):
            raise MaskingRefusedError(reason, f"the envelope of {heading.sender} is of another round, attempt or stage")
        if heading.sender not in plan.cohort or heading.sender in found:
            raise MaskingRefusedError(reason, f"{heading.sender} is twice there, or not in the cohort")
        found[heading.sender] = opened.message
    return found


def split_seeds(random_bytes: bytes) -> tuple[bytes, bytes, bytes]:
    """Three seeds of 32 bytes: of the channel key, of the self mask (b), and of all pair masks (k)."""
    one, two = SEED_BYTES, 2 * SEED_BYTES
    return random_bytes[:one], random_bytes[one:two], random_bytes[two : 3 * SEED_BYTES]
