"""The coordinator's side of a masked sum, for one attempt: passes on, adds up, takes the masks away. Pure.

Messages come in already opened, their signatures checked; each `close_*` is told who continues and gives the message for all.
What does not fit is refused without a trace, so a journal may be replayed through the same methods. Either the sum of all
survivors comes out, exact in the ring, or MaskingRefusedError; with each wrong answer its sender is named.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from contract.federation.frames import SignedEnvelope
from contract.federation.messages import KeyList, MaskedUpdate, MaskKeys, MaskShares, ShareList, SurvivorList, Unmasking
from federation.messages.sealing import SealingKey
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
    split_keys,
)
from federation.secagg.shamir import combine

_STAGES = ("keys", "shares", "updates", "unmasking")


class MaskedSum(NamedTuple):
    """The sum, and who is in it."""

    words: Words
    survivors: tuple[str, ...]
    liars: tuple[str, ...]
    """Answered stage unmasking with shares that they were not given."""


class MaskingCoordinator:
    """Made once per attempt. Holds at most one message of each member and stage."""

    def __init__(self, plan: MaskingPlan) -> None:
        self._plan = plan
        self._stage = "keys"
        self._keys: dict[str, PublicKeys] = {}
        self._signed: dict[tuple[str, str], SignedEnvelope] = {}
        self._pairs: dict[str, dict[str, SealedPair]] = {}
        """By owner and holder."""
        self._updates: dict[str, bytes] = {}
        self._answers: dict[str, Unmasking] = {}
        self._sharers: tuple[str, ...] = ()
        self._survivors: tuple[str, ...] = ()
        self._graph: Graph
        self._transcript: Transcript

    @property
    def survivors_min(self) -> int:
        """How many must stay to the end, known once the keys are closed."""
        return max(self._plan.members_min, self._graph.survivors_min)

    def take_keys(self, sender: str, message: MaskKeys, signed: SignedEnvelope) -> None:
        """Takes a member's keys; raises MaskingRefusedError(keys) where they are none."""
        self._expect("keys", sender, sender in self._plan.cohort and sender not in self._keys)
        self._keys[sender] = split_keys(message)
        self._signed["keys", sender] = signed

    def close_keys(self, members: Sequence[str]) -> KeyList:
        """`members` continue: fixes the graph, and gives everyone's signed keys for all."""
        self._close("keys", members, self._keys)
        self._keys = {name: self._keys[name] for name in sorted(members)}
        if len(self._keys) < self._plan.members_min:
            raise MaskingRefusedError("threshold", f"keys of {len(self._keys)}, at least {self._plan.members_min}")
        self._transcript = compute_transcript(self._plan, self._keys)
        self._graph = build_graph(sorted(self._keys), self._transcript.digest, self._plan.neighbours)
        return KeyList(envelopes=tuple(self._signed["keys", name] for name in self._keys))

    def take_shares(self, sender: str, message: MaskShares, signed: SignedEnvelope) -> None:
        """Takes a member's sealed shares; raises MaskingRefusedError(shares) where they are not one for each neighbour."""
        self._expect("shares", sender, sender in self._keys and sender not in self._pairs)
        if tuple(share.recipient for share in message.shares) != self._graph.neighbourhoods[sender]:
            raise MaskingRefusedError("shares", f"of {sender} are not one for each of its neighbourhood")
        self._pairs[sender] = {share.recipient: decode_pair(share.sealed, sender) for share in message.shares}
        self._signed["shares", sender] = signed

    def close_shares(self, members: Sequence[str]) -> ShareList:
        """`members` continue: gives everyone's signed shares for all."""
        self._close("shares", members, self._pairs)
        self._sharers = tuple(sorted(members))
        self._check_enough(self._sharers, self._sharers)
        return ShareList(envelopes=tuple(self._signed["shares", name] for name in self._sharers))

    def take_update(self, sender: str, message: MaskedUpdate) -> None:
        """Takes a member's masked words; raises MaskingRefusedError(words) where they are too few or too many."""
        self._expect("updates", sender, sender in self._sharers and sender not in self._updates)
        if len(message.payload) != self._plan.words * self._plan.bits // 8:
            raise MaskingRefusedError("words", f"{sender} sent {len(message.payload)} bytes")
        self._updates[sender] = message.payload

    def close_updates(self, members: Sequence[str]) -> SurvivorList:
        """`members` are in the sum; the rest of those who shared count as dropped, whatever they send from now on."""
        self._close("updates", members, self._updates)
        self._survivors = tuple(sorted(members))
        self._check_enough(self._survivors, self._sharers)
        self._updates = {name: self._updates[name] for name in self._survivors}
        staying = set(self._survivors)
        return SurvivorList(
            survivors=self._survivors, dropped=tuple(name for name in self._sharers if name not in staying)
        )

    def take_unmasking(self, sender: str, message: Unmasking) -> None:
        """Takes a survivor's shares; raises MaskingRefusedError(shares) where they are not the ones that were asked for."""
        self._expect("unmasking", sender, sender in self._survivors and sender not in self._answers)
        near, staying = self._graph.neighbourhoods[sender], set(self._survivors)
        sharers = set(self._sharers)
        asked = {owner for owner in near if owner in staying}
        asked_dropped = {owner for owner in near if owner in sharers - staying}
        if message.survivors_shares.keys() != asked or message.dropped_shares.keys() != asked_dropped:
            raise MaskingRefusedError("shares", f"of {sender} are not those that were asked for")
        self._answers[sender] = message

    def compute_result(self) -> MaskedSum:
        """The sum of the survivors' words; as often as wanted, and again after more answers came."""
        staying = set(self._survivors)
        liars: set[str] = set()
        plus: list[bytes] = []
        minus: list[bytes] = []
        for owner in self._survivors:
            seed = self._rebuilt(owner, b"self", liars)
            if commit_to(seed) != self._keys[owner].commitment:
                raise MaskingRefusedError("reconstruction", f"{owner} shared another self mask than it committed to")
            minus.append(self._transcript.derive_self_mask(seed, owner))
        for owner in self._sharers:
            if owner not in staying:
                self._cancel(owner, self._rebuilt(owner, b"key", liars), plus, minus)
        total = np.zeros(self._plan.words, dtype=RING_TYPES[self._plan.bits])
        for payload in self._updates.values():
            total += np.frombuffer(payload, dtype=total.dtype)
        add_masks(total, plus, minus)
        return MaskedSum(total, self._survivors, tuple(sorted(liars)))

    def _expect(self, stage: str, sender: str, may: bool) -> None:
        if self._stage != stage or not may:
            raise MaskingRefusedError("stage", f"{stage} of {sender}: not due, not its turn, or there already")

    def _close(self, stage: str, members: Sequence[str], arrived: Collection[str]) -> None:
        if self._stage != stage or not set(members) <= set(arrived):
            raise MaskingRefusedError("stage", f"{stage} is not open, or members are named that have not answered")
        self._stage = _STAGES[_STAGES.index(stage) + 1]

    def _check_enough(self, staying: Sequence[str], owners: Sequence[str]) -> None:
        """Whether the secrets of all `owners` can still be rebuilt by those `staying`."""
        names = set(staying)
        if len(names) < self.survivors_min:
            raise MaskingRefusedError("threshold", f"{len(names)} stay, at least {self.survivors_min}")
        for owner in owners:
            near, least = (
                len(names.intersection(self._graph.neighbourhoods[owner])),
                self._graph.compute_threshold(owner),
            )
            if near < least:
                raise MaskingRefusedError("threshold", f"{near} of the neighbourhood of {owner} stay, at least {least}")

    def _rebuilt(self, owner: str, kind: bytes, liars: set[str]) -> bytes:
        """A secret of `owner`, from the answers whose digests fit."""
        shares: dict[int, bytes] = {}
        for holder, answer in self._answers.items():
            given = (answer.survivors_shares if kind == b"self" else answer.dropped_shares).get(owner)
            if given is None:
                continue
            pair = self._pairs[owner][holder]
            digest = pair.self_digest if kind == b"self" else pair.key_digest
            if self._transcript.hash_share(owner, holder, kind, given) == digest:
                shares[self._graph.get_point(holder)] = given
            else:
                liars.add(holder)
        least = self._graph.compute_threshold(owner)
        if len(shares) < least:
            raise MaskingRefusedError("threshold", f"{len(shares)} right shares of {owner}, at least {least}")
        secret = combine(shares, least)
        if secret is None:
            raise MaskingRefusedError("reconstruction", f"the shares of {owner} are not of one secret")
        return secret

    def _cancel(self, owner: str, key_seed: bytes, plus: list[bytes], minus: list[bytes]) -> None:
        """The masks that survivors share with the dropped `owner`; they stand in the sum with the survivor's sign."""
        bound, staying, members = self._transcript, set(self._survivors), self._graph.members
        mask = SealingKey(derive_mask_key_seed(key_seed))
        if mask.public != self._keys[owner].mask:
            raise MaskingRefusedError("reconstruction", f"{owner} shared another key than it showed")
        for peer in self._graph.neighbourhoods[owner]:
            if peer not in staying:
                continue
            seed: bytes | None
            if is_giver(owner, peer, members):
                seed = bound.derive_pair_seed(key_seed, owner, peer)
            else:
                seed = mask.unseal(self._pairs[peer][owner].seed, bound.make_info(b"seed", peer, owner))
            if seed is None:
                raise MaskingRefusedError("reconstruction", f"{peer} sealed no seed to {owner}")
            (minus if peer < owner else plus).append(bound.derive_pair_mask(seed, owner, peer))
