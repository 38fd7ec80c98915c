"""What the coordinator sees of a masked sum is the sum: all else that reaches it is the same, or even noise, whatever was summed."""

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from federation.messages.sealing import SealingKey, seal_to
from federation.numeric.masks import RING_TYPES, Words, add_masks
from federation.secagg import graph, member_side
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.masked_sum import (
    MaskingPlan,
    PublicKeys,
    SealedPair,
    Transcript,
    commit_to,
    derive_mask_key_seed,
)
from federation.secagg.member_side import MaskingMember
from support.masking_round import NOW_MS, clear_sum, plan_for, roster, seeded_bytes, signed

CHI_SQUARE_MAX = 110.0
"""Of 63 degrees of freedom: passed once in 4,000. All is seeded, so it is passed never or always."""
WORDS = 16_000


class View(NamedTuple):
    """What reaches the coordinator in one attempt."""

    residuals: dict[str, Words]
    """Each survivor's words, without every mask that the coordinator may rebuild."""
    late: Words
    """The dropped member's words, which came too late, without every mask that follows from its key."""
    payloads: dict[str, bytes]
    told: list[object]
    """Everything but masked words, with the plain text instead of what was sealed: ciphers have coins of their own."""


def view(plan: MaskingPlan, vectors: Mapping[str, Words], seed: object, dropped: str) -> View:
    """Of a round in which `dropped` sends its words, and they count as not sent."""
    told: list[object] = []
    with pytest.MonkeyPatch.context() as patch:

        def sealing(public: bytes, text: bytes, info: bytes) -> bytes:
            told.append((public, text, info))
            return seal_to(public, text, info)

        patch.setattr(member_side, "seal_to", sealing)
        members = {name: MaskingMember(plan, name, roster, random=seeded_bytes((seed, name))) for name in plan.cohort}
        coordinator = MaskingCoordinator(plan)
        for name, member in members.items():
            keys = member.make_keys()
            told.append(keys)
            coordinator.take_keys(name, keys, signed(name, keys, plan))
        key_list = coordinator.close_keys(plan.cohort)
        for name, member in members.items():
            shares = member.make_shares(key_list.envelopes, NOW_MS)
            pairs = [msgspec.msgpack.decode(share.sealed, type=SealedPair) for share in shares.shares]
            told.append([(pair.self_digest, pair.key_digest, len(pair.shares), len(pair.seed)) for pair in pairs])
            coordinator.take_shares(name, shares, signed(name, shares, plan))
    share_list = coordinator.close_shares(plan.cohort)
    survivors = tuple(name for name in plan.cohort if name != dropped)
    sent = {name: members[name].mask(share_list.envelopes, vectors[name], NOW_MS) for name in plan.cohort}
    for name in survivors:
        coordinator.take_update(name, sent[name])
    lists = coordinator.close_updates(survivors)
    for name in survivors:
        answer = members[name].make_unmasking(lists)
        told.append(answer)
        coordinator.take_unmasking(name, answer)
    payloads = {name: update.payload for name, update in sent.items()}
    return View(*_unmasked(plan, coordinator, payloads, dropped), payloads, told)


def _unmasked(
    plan: MaskingPlan, coordinator: MaskingCoordinator, payloads: Mapping[str, bytes], dropped: str
) -> tuple[dict[str, Words], Words]:
    bound, survivors = coordinator._transcript, coordinator._survivors
    key_seed = coordinator._rebuilt(dropped, b"key", set())
    seen = {}
    for name in survivors:
        seen[name] = np.frombuffer(payloads[name], RING_TYPES[plan.bits]).copy()
        plus: list[bytes] = []
        minus = [bound.derive_self_mask(coordinator._rebuilt(name, b"self", set()), name)]
        coordinator._survivors = (name,)
        coordinator._cancel(dropped, key_seed, plus, minus)
        add_masks(seen[name], plus, minus)
    coordinator._survivors = survivors
    late = np.frombuffer(payloads[dropped], RING_TYPES[plan.bits]).copy()
    of_others: list[bytes] = []
    of_later: list[bytes] = []
    coordinator._cancel(dropped, key_seed, of_later, of_others)
    add_masks(late, of_others, of_later)
    return seen, late


def chi_square(words: Words) -> float:
    """Of 64 even classes by the leading bits."""
    counts = np.bincount((words >> np.asarray(words.dtype.itemsize * 8 - 6, words.dtype)).astype(int), minlength=64)
    expected = len(words) / 64
    return float(((counts - expected) ** 2 / expected).sum())


def check_shows_the_sum_alone(plan: MaskingPlan, seed: object) -> None:
    """Two worlds with one sum: in the second one member sent large words, and another the opposite."""
    dropped, first, second = plan.cohort[-1], plan.cohort[0], plan.cohort[1]
    zeros = {name: np.zeros(plan.words, RING_TYPES[32]) for name in plan.cohort}
    shifted = dict(zeros)
    shifted[first] = np.full(plan.words, 123_456_789, RING_TYPES[32])
    shifted[second] = np.zeros(plan.words, RING_TYPES[32]) - shifted[first]
    views = [view(plan, world, seed, dropped) for world in (zeros, shifted)]
    assert views[0].told == views[1].told
    draw = random.Random(1)
    for each in views:
        names = list(each.residuals)
        np.testing.assert_array_equal(clear_sum(each.residuals, names), np.zeros(plan.words, np.uint32))
        some = [[name] for name in names] + [draw.sample(names, draw.randrange(2, len(names))) for _ in range(25)]
        # A member's words are even over the ring, and so is the sum of every part of those who are in the sum.
        for subset in some:
            assert chi_square(clear_sum(each.residuals, subset)) < CHI_SQUARE_MAX
        assert chi_square(each.late) < CHI_SQUARE_MAX
        for name, after in zip(names, [*names[1:], names[0]], strict=True):
            one, other = (each.residuals[which].view("<i4").astype(float) for which in (name, after))
            assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(plan.words)


def check_masks_are_new_in_every_attempt() -> None:
    seen = []
    for attempt in (1, 2):
        plan = plan_for(4, words=WORDS, attempt=attempt)
        zeros = {name: np.zeros(plan.words, RING_TYPES[32]) for name in plan.cohort}
        seen.append(view(plan, zeros, "the same coins", "p003"))
    for one, other in [(seen[0].residuals["p000"], seen[1].residuals["p000"]), (seen[0].late, seen[1].late)]:
        assert chi_square(other - one) < CHI_SQUARE_MAX


@pytest.mark.parametrize("seed", ["one", "two", "three"])
def test_the_coordinator_sees_the_sum_and_nothing_else_that_depends_on_what_was_summed(seed: str) -> None:
    check_shows_the_sum_alone(plan_for(5, words=WORDS), seed)


def test_so_it_is_on_a_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "COMPLETE_MAX", 6)
    check_shows_the_sum_alone(plan_for(10, words=WORDS, neighbours=6), "ring")


def test_masks_are_new_in_every_attempt() -> None:
    check_masks_are_new_in_every_attempt()


def _complete(seed: str = "one") -> None:
    check_shows_the_sum_alone(plan_for(5, words=WORDS), seed)


FAULTS: dict[str, tuple[object, str, Callable[..., object], Callable[[], None]]] = {
    "every pair has the same mask": (Transcript, "derive_pair_mask", lambda *_: bytes(32), _complete),
    "nobody has a mask of its own": (
        member_side,
        "add_masks",
        lambda total, plus, minus: add_masks(total, plus[1:], minus),
        _complete,
    ),
    "masks come again in the next attempt": (
        Transcript,
        "make_info",
        lambda _, purpose, *names: b"/".join([purpose, *map(str.encode, names)]),
        check_masks_are_new_in_every_attempt,
    ),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.replace(" ", "-"))
def test_these_checks_find_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement, check = FAULTS[fault]
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(AssertionError):
        check()


def test_all_secrets_of_a_member_are_32_bytes_from_its_generator_of_random_bytes() -> None:
    plan = plan_for(5)
    given: list[bytes] = []

    def drawn(count: int) -> bytes:
        given.append(seeded_bytes(len(given))(count))
        return given[-1]

    member = MaskingMember(plan, "p000", roster, random=drawn)
    others = {name: MaskingMember(plan, name, roster, random=seeded_bytes(name)) for name in plan.cohort[1:]}
    envelopes = [signed("p000", member.make_keys(), plan)]
    seeds = [given[0][start : start + 32] for start in (0, 32, 64)]
    assert [len(text) for text in given] == [96]
    assert [member._self_seed, member._key_seed] == seeds[1:]
    own = PublicKeys(
        SealingKey(seeds[0]).public, SealingKey(derive_mask_key_seed(seeds[2])).public, commit_to(seeds[1])
    )
    assert member._own_keys == own
    envelopes += [signed(name, other.make_keys(), plan) for name, other in others.items()]
    member.make_shares(envelopes, NOW_MS)
    # Two polynomials of degree t - 1 = 3, 48 bytes for each coefficient.
    assert [len(text) for text in given[1:]] == [48] * 6
