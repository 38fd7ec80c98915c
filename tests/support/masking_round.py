"""A whole masked sum in one process, with members that vanish where a test says so."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from contract.federation.frames import SignedEnvelope
from contract.federation.messages import KeyList, MaskKeys, MaskShares, Message, ShareList, SurvivorList
from federation.messages.envelope import seal
from federation.messages.identity import Identity, PublicIdentity
from federation.numeric.masks import RING_TYPES, Words
from federation.secagg.coordinator_side import MaskedSum, MaskingCoordinator
from federation.secagg.masked_sum import MaskingPlan
from federation.secagg.member_side import MaskingMember

NOW_MS = 1_800_000_000_000
FEDERATION = "shops"


def seeded_bytes(seed: object) -> Callable[[int], bytes]:
    """Random bytes that a seed repeats."""
    return random.Random(str(seed)).randbytes


def clear_sum(vectors: Mapping[str, Words], survivors: Sequence[str]) -> Words:
    """What a masked sum must equal: the plain sum of the survivors' words in the ring."""
    first = vectors[survivors[0]].copy()
    for name in survivors[1:]:
        first += vectors[name]
    return first


@lru_cache
def identity(name: str) -> Identity:
    """The same keys for the same name."""
    return Identity.generate(name, seeded_bytes(name))


def roster(name: str) -> PublicIdentity | None:
    """Everyone whose name begins with a letter that is no x."""
    return None if name.startswith("x") else identity(name).public


def signed(name: str, message: Message, plan: MaskingPlan, **changes: int) -> SignedEnvelope:
    """The envelope that `name` would send."""
    heading = {"round_number": plan.round, "attempt": plan.attempt} | changes
    return seal(message, identity(name), federation=plan.federation, sent_at_ms=NOW_MS, **heading)  # type: ignore[arg-type]


def plan_for(count: int, *, words: int = 5, bits: int = 32, neighbours: int = 32, attempt: int = 1) -> MaskingPlan:
    """An attempt among p000, p001, ..."""
    return MaskingPlan(
        federation=FEDERATION,
        round=3,
        attempt=attempt,
        cohort=tuple(f"p{index:03}" for index in range(count)),
        members_min=3,
        words=words,
        bits=bits,
        neighbours=neighbours,
    )


def vectors_for(plan: MaskingPlan, seed: int = 1) -> dict[str, Words]:
    """Words of each member, spread over the whole ring."""
    generator = np.random.default_rng(seed)
    dtype = RING_TYPES[plan.bits]
    return {
        name: generator.integers(0, 2**plan.bits, plan.words, dtype=np.uint64, endpoint=False).astype(dtype)
        if plan.bits < 64
        else generator.integers(0, 2**63, plan.words, dtype=np.uint64).astype(dtype)
        for name in plan.cohort
    }


def run_round(
    plan: MaskingPlan, vectors: Mapping[str, Words], lost: Mapping[str, str] | None = None, seed: object = 0
) -> MaskedSum:
    """The four stages; `lost` names, for a member, the stage that it no longer answers."""
    lost = lost or {}
    order = ("keys", "shares", "updates", "unmasking")
    gone = {name: order.index(stage) for name, stage in lost.items()}
    members = {name: MaskingMember(plan, name, roster, random=seeded_bytes(f"{seed}/{name}")) for name in plan.cohort}
    coordinator = MaskingCoordinator(plan)

    def staying(stage: str, among: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in among if gone.get(name, 9) > order.index(stage))

    going = staying("keys", plan.cohort)
    for name in going:
        keys = members[name].make_keys()
        coordinator.take_keys(name, keys, signed(name, keys, plan))
    key_list = coordinator.close_keys(going)
    going = staying("shares", going)
    for name in going:
        shares = members[name].make_shares(key_list.envelopes, NOW_MS)
        coordinator.take_shares(name, shares, signed(name, shares, plan))
    share_list = coordinator.close_shares(going)
    going = staying("updates", going)
    for name in going:
        coordinator.take_update(name, members[name].mask(share_list.envelopes, vectors[name], NOW_MS))
    lists = coordinator.close_updates(going)
    for name in staying("unmasking", going):
        coordinator.take_unmasking(name, members[name].make_unmasking(lists))
    return coordinator.compute_result()


class Attempt:
    """Members of one attempt, led step by step; tests change what they are shown."""

    def __init__(self, attempt: int = 1, count: int = 6, neighbours: int = 32) -> None:
        self.plan: MaskingPlan = plan_for(count, attempt=attempt, neighbours=neighbours)
        self.vectors: dict[str, Words] = vectors_for(self.plan)
        self.members = {
            name: MaskingMember(self.plan, name, roster, random=seeded_bytes((attempt, name)))
            for name in self.plan.cohort
        }
        self.coordinator = MaskingCoordinator(self.plan)
        self.sent_keys: dict[str, MaskKeys] = {}
        self.sent_shares: dict[str, MaskShares] = {}

    def keys(self) -> KeyList:
        for name, member in self.members.items():
            self.sent_keys[name] = member.make_keys()
            self.coordinator.take_keys(name, self.sent_keys[name], signed(name, self.sent_keys[name], self.plan))
        return self.coordinator.close_keys(self.plan.cohort)

    def shares(self) -> ShareList:
        keys = self.keys()
        for name, member in self.members.items():
            self.sent_shares[name] = member.make_shares(keys.envelopes, NOW_MS)
            self.coordinator.take_shares(name, self.sent_shares[name], signed(name, self.sent_shares[name], self.plan))
        return self.coordinator.close_shares(self.plan.cohort)

    def updates(self, *dropped: str) -> SurvivorList:
        shares = self.shares()
        staying = [name for name in self.plan.cohort if name not in dropped]
        for name in staying:
            update = self.members[name].mask(shares.envelopes, self.vectors[name], NOW_MS)
            self.coordinator.take_update(name, update)
        return self.coordinator.close_updates(staying)
