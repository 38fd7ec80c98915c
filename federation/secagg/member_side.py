"""One participant's side of a masked sum, for one attempt: each stage once, in order, and never again. Pure but for its secrets.

Every method either returns the message to send, or raises MaskingRefusedError and is then over: a member that has seen a lie
tells no more. Its secrets live in this object alone, so an attempt that a crash interrupts cannot be taken up again.

The member believes the coordinator in nothing that it can check: keys and shares come in their makers' signed envelopes, the
graph and the thresholds are computed here, and a list of survivors must fit what was seen before.
"""

import secrets
from collections.abc import Sequence

import msgspec

from contract.errors import FencedError
from contract.federation.frames import SignedEnvelope
from contract.federation.messages import MaskedUpdate, MaskKeys, MaskShares, SealedShare, SurvivorList, Unmasking
from federation.messages.envelope import Roster
from federation.messages.sealing import RandomBytes, SealingKey, seal_to
from federation.numeric.masks import RING_TYPES, Words, add_masks
from federation.refusals import MaskingRefusedError
from federation.secagg.graph import Graph, build_graph
from federation.secagg.masked_sum import (
    MaskingPlan,
    PublicKeys,
    SealedPair,
    Transcript,
    commit_to,
    compute_transcript,
    decode_pair,
    derive_mask_key_seed,
    is_giver,
    join_keys,
    open_signed,
    split_keys,
    split_seeds,
    split_shares,
)
from federation.secagg.shamir import SHARE_BYTES, split


class MaskingMember:
    """Made once per attempt, after training; `roster` gives peers' keys, `members_min` is what this retailer asks for itself."""

    def __init__(
        self,
        plan: MaskingPlan,
        name: str,
        roster: Roster,
        *,
        members_min: int = 0,
        random: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._members_min = max(plan.members_min, members_min)
        if name not in plan.cohort or len(plan.cohort) < self._members_min:
            raise MaskingRefusedError("plan", f"not in the cohort, or of fewer than {self._members_min}")
        self._plan, self._name, self._roster, self._random = plan, name, roster, random
        channel_seed, self._self_seed, self._key_seed = split_seeds(random(96))
        self._channel = SealingKey(channel_seed)
        self._mask = SealingKey(derive_mask_key_seed(self._key_seed))
        self._own_keys = PublicKeys(self._channel.public, self._mask.public, commit_to(self._self_seed))
        self._next: str | None = "keys"
        self._keys: dict[str, PublicKeys] = {}
        self._held: dict[str, tuple[bytes, bytes]] = {}
        """By owner: the shares of b and of k that this member holds."""
        self._sharers: frozenset[str] = frozenset()
        self._graph: Graph
        self._transcript: Transcript

    @property
    def survivors_min(self) -> int:
        """How many must stay to the end, known once `make_shares` was called: noise is dimensioned by it."""
        return max(self._members_min, self._graph.survivors_min)

    def make_keys(self) -> MaskKeys:
        """Stage 1."""
        self._turn("keys")
        self._next = "shares"
        return join_keys(self._own_keys)

    def make_shares(self, envelopes: Sequence[SignedEnvelope], now_ms: int) -> MaskShares:
        """Stage 2, from everyone's signed keys."""
        self._turn("shares")
        found = open_signed(envelopes, "keys", self._plan, self._roster, now_ms)
        self._keys = {name: split_keys(message) for name, message in found.items() if isinstance(message, MaskKeys)}
        self._check_own(self._keys.get(self._name))
        if len(self._keys) < self._members_min:
            raise MaskingRefusedError("threshold", f"keys of {len(self._keys)}, at least {self._members_min}")
        published = [key for keys in self._keys.values() for key in (keys.channel, keys.mask)]
        if len(set(published)) != len(published):
            raise MaskingRefusedError("keys", "two members show the same key")
        self._transcript = compute_transcript(self._plan, self._keys)
        self._graph = build_graph(sorted(self._keys), self._transcript.digest, self._plan.neighbours)
        message = self._share_out()
        self._next = "updates"
        return message

    def _check_own(self, shown: PublicKeys | None) -> None:
        """Other keys that are signed as this member's can only be those of another process that has its signing key."""
        if shown is None:
            raise MaskingRefusedError("keys", "this member's own keys are missing")
        if shown != self._own_keys:
            raise FencedError(
                f"another process takes part as {self._name}: it signed other keys for round {self._plan.round}, attempt"
                f" {self._plan.attempt}, before this one; end one of the two"
            )

    def mask(self, envelopes: Sequence[SignedEnvelope], words: Words, now_ms: int) -> MaskedUpdate:
        """Stage 3, from the signed shares of all who continue: `words` (shape (plan.words,), the ring's dtype) under masks."""
        self._turn("updates")
        if words.shape != (self._plan.words,) or words.dtype != RING_TYPES[self._plan.bits]:
            raise MaskingRefusedError("words", f"{self._plan.words} words of {self._plan.bits} bits are asked for")
        found = open_signed(envelopes, "shares", self._plan, self._roster, now_ms)
        if not found.keys() <= self._keys.keys() or self._name not in found:
            raise MaskingRefusedError("shares", "of a member without keys, or not this member's own")
        self._sharers = frozenset(found)
        self._check_enough(self._sharers)
        plus = [self._transcript.derive_self_mask(self._self_seed, self._name)]
        minus: list[bytes] = []
        for peer in self._neighbours(self._sharers):
            message = found[peer]
            seed = self._take(peer, message.shares if isinstance(message, MaskShares) else ())
            key = self._transcript.derive_pair_mask(seed, self._name, peer)
            (plus if self._name < peer else minus).append(key)
        total = words.copy()
        add_masks(total, plus, minus)
        self._next = "unmasking"
        return MaskedUpdate(payload=total.tobytes())

    def make_unmasking(self, lists: SurvivorList) -> Unmasking:
        """Stage 4: for each neighbour one of the two shares; refused where the lists are not of those who shared."""
        self._turn("unmasking")
        survivors, dropped = frozenset(lists.survivors), frozenset(lists.dropped)
        if survivors & dropped:
            raise MaskingRefusedError("lists", "somebody is said to have survived and to have dropped")
        if len(survivors) != len(lists.survivors) or len(dropped) != len(lists.dropped):
            raise MaskingRefusedError("lists", "somebody is named twice")
        if survivors | dropped != self._sharers or self._name not in survivors:
            raise MaskingRefusedError("lists", "not those who shared, or without this member, whose words are there")
        self._check_enough(survivors)
        near = self._graph.neighbourhoods[self._name]
        message = Unmasking(
            survivors_shares={owner: self._held[owner][0] for owner in near if owner in survivors},
            dropped_shares={owner: self._held[owner][1] for owner in near if owner in dropped},
        )
        self._forget()
        return message

    def _turn(self, stage: str) -> None:
        """From here on the member is over, unless the stage ends well and says what comes next."""
        if self._next != stage:
            self._forget()
            raise MaskingRefusedError("stage", f"{stage} was done, is not due, or the attempt was refused")
        self._next = None

    def _forget(self) -> None:
        self._next = None
        self._held = {}
        self._self_seed = self._key_seed = b""

    def _neighbours(self, among: frozenset[str]) -> list[str]:
        return [peer for peer in self._graph.neighbourhoods[self._name] if peer != self._name and peer in among]

    def _check_enough(self, staying: frozenset[str]) -> None:
        near, least = len(self._neighbours(staying)) + 1, self._graph.compute_threshold(self._name)
        if len(staying) < self.survivors_min or near < least:
            raise MaskingRefusedError(
                "threshold",
                f"{len(staying)} stay, at least {self.survivors_min}; {near} of this neighbourhood, at least {least}",
            )

    def _share_out(self) -> MaskShares:
        near = self._graph.neighbourhoods[self._name]
        points = [self._graph.get_point(holder) for holder in near]
        threshold = self._graph.compute_threshold(self._name)
        of_self = split(self._self_seed, threshold, points, self._random)
        of_key = split(self._key_seed, threshold, points, self._random)
        pairs = []
        for holder, point in zip(near, points, strict=True):
            pair = self._pair(holder, of_self[point], of_key[point])
            pairs.append(SealedShare(recipient=holder, sealed=msgspec.msgpack.encode(pair)))
        return MaskShares(shares=tuple(pairs))

    def _pair(self, holder: str, of_self: bytes, of_key: bytes) -> SealedPair:
        shares, seed, bound, keys = b"", b"", self._transcript, self._keys[holder]
        if holder == self._name:
            self._held[holder] = (of_self, of_key)
        else:
            shares = seal_to(keys.channel, of_self + of_key, bound.make_info(b"shares", self._name, holder))
            if is_giver(self._name, holder, self._graph.members):
                own = bound.derive_pair_seed(self._key_seed, self._name, holder)
                seed = seal_to(keys.mask, own, bound.make_info(b"seed", self._name, holder))
        return SealedPair(
            self_digest=bound.hash_share(self._name, holder, b"self", of_self),
            key_digest=bound.hash_share(self._name, holder, b"key", of_key),
            shares=shares,
            seed=seed,
        )

    def _take(self, owner: str, shares: Sequence[SealedShare]) -> bytes:
        """Keeps the shares that `owner` gave; the seed of the pair."""
        bound, given = self._transcript, [share for share in shares if share.recipient == self._name]
        if len(given) != 1:
            raise MaskingRefusedError("shares", f"of {owner}: none for this member, or several")
        pair = decode_pair(given[0].sealed, owner)
        text = self._channel.unseal(pair.shares, bound.make_info(b"shares", owner, self._name))
        if text is None or len(text) != 2 * SHARE_BYTES:
            raise MaskingRefusedError("shares", f"of {owner} were not sealed to this member's key of this attempt")
        of_self, of_key = split_shares(text)
        if (
            bound.hash_share(owner, self._name, b"self", of_self) != pair.self_digest
            or bound.hash_share(owner, self._name, b"key", of_key) != pair.key_digest
        ):
            raise MaskingRefusedError("shares", f"of {owner} do not fit their digests")
        self._held[owner] = (of_self, of_key)
        if is_giver(self._name, owner, self._graph.members):
            return bound.derive_pair_seed(self._key_seed, self._name, owner)
        seed = self._mask.unseal(pair.seed, bound.make_info(b"seed", owner, self._name))
        if seed is None:
            raise MaskingRefusedError(
                "shares", f"the seed of {owner} was not sealed to this member's key of this attempt"
            )
        return seed
