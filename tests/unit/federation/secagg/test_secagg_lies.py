"""Whatever a lying coordinator shows, no member gives what would open one update; a lying member is named or stops the sum."""

from collections.abc import Callable
from functools import partial

import msgspec
import numpy as np
import pytest

from contract.errors import FencedError
from contract.federation.frames import SignedEnvelope
from contract.federation.messages import MaskedUpdate, MaskKeys, MaskShares, SurvivorList, Unmasking
from federation.refusals import MaskingRefusedError
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.member_side import MaskingMember
from support.masking_round import NOW_MS, Attempt, clear_sum, plan_for, roster, seeded_bytes, signed


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(MaskingRefusedError) as error:
        call()
    return error.value.reason


def with_envelope(envelopes: tuple[SignedEnvelope, ...], index: int, other: SignedEnvelope) -> list[SignedEnvelope]:
    return [*envelopes[:index], other, *envelopes[index + 1 :]]


def refuses_keys(change: Callable[[Attempt, tuple[SignedEnvelope, ...]], list[SignedEnvelope]]) -> str:
    attempt = Attempt()
    envelopes = change(attempt, attempt.keys().envelopes)
    return reason(lambda: attempt.members["p000"].make_shares(envelopes, NOW_MS))


def test_keys_that_their_maker_did_not_sign_are_refused() -> None:
    def forge(attempt: Attempt, envelopes: tuple[SignedEnvelope, ...]) -> list[SignedEnvelope]:
        forged = signed("p001", Attempt(9).members["p001"].make_keys(), attempt.plan)
        by_another = signed("p002", attempt.sent_keys["p002"], attempt.plan)
        return with_envelope(envelopes, 1, msgspec.structs.replace(forged, signature=by_another.signature))

    assert refuses_keys(forge) == "keys"


def test_one_member_s_keys_under_another_s_name_are_refused() -> None:
    def copy(attempt: Attempt, envelopes: tuple[SignedEnvelope, ...]) -> list[SignedEnvelope]:
        return with_envelope(envelopes, 1, signed("p001", attempt.sent_keys["p002"], attempt.plan))

    assert refuses_keys(copy) == "keys"


def test_its_own_keys_must_stand_in_the_list() -> None:
    assert refuses_keys(lambda _, envelopes: list(envelopes[1:])) == "keys"


def test_other_keys_under_its_own_signature_are_those_of_another_process() -> None:
    attempt = Attempt()
    own = signed("p000", Attempt(9).members["p000"].make_keys(), attempt.plan)
    envelopes = with_envelope(attempt.keys().envelopes, 0, own)
    with pytest.raises(FencedError, match="another process takes part as p000"):
        attempt.members["p000"].make_shares(envelopes, NOW_MS)


def test_other_keys_that_it_did_not_sign_are_refused() -> None:
    def change(attempt: Attempt, envelopes: tuple[SignedEnvelope, ...]) -> list[SignedEnvelope]:
        return with_envelope(envelopes, 0, signed("p001", Attempt(9).members["p000"].make_keys(), attempt.plan))

    assert refuses_keys(change) == "keys"


def test_keys_of_another_attempt_round_or_stage_are_refused() -> None:
    for changes in ({"attempt": 0}, {"round_number": 2}):
        assert (
            refuses_keys(
                lambda attempt, envelopes, changes=changes: with_envelope(  # type: ignore[misc]
                    envelopes, 1, signed("p001", attempt.sent_keys["p001"], attempt.plan, **changes)
                )
            )
            == "keys"
        )
    assert (
        refuses_keys(
            lambda attempt, envelopes: with_envelope(envelopes, 1, signed("p001", MaskShares(shares=()), attempt.plan))
        )
        == "keys"
    )


def test_strangers_doubles_and_too_few_are_refused() -> None:
    assert refuses_keys(lambda _, envelopes: [*envelopes, envelopes[1]]) == "keys"
    assert refuses_keys(lambda _, envelopes: [*envelopes[:5], envelopes[1]]) == "keys"
    assert (
        refuses_keys(
            lambda attempt, envelopes: with_envelope(
                envelopes, 1, signed("zoe", attempt.sent_keys["p001"], attempt.plan)
            )
        )
        == "keys"
    )
    assert refuses_keys(lambda _, envelopes: list(envelopes[:2])) == "threshold"


def test_a_member_may_ask_for_more_company_than_the_plan() -> None:
    plan = plan_for(6)
    assert reason(lambda: MaskingMember(plan, "p000", roster, members_min=7)) == "plan"
    assert reason(lambda: MaskingMember(plan, "zoe", roster)) == "plan"
    attempt = Attempt()
    envelopes = attempt.keys().envelopes
    careful = MaskingMember(plan, "p000", roster, members_min=6, random=seeded_bytes((1, "p000")))
    careful.make_keys()
    assert reason(lambda: careful.make_shares(envelopes[:5], NOW_MS)) == "threshold"


def test_members_who_were_shown_different_keys_cannot_open_each_other_s_shares() -> None:
    attempt = Attempt()
    envelopes = attempt.keys().envelopes
    first = attempt.members["p000"].make_shares(envelopes, NOW_MS)
    others = {name: attempt.members[name].make_shares(envelopes[:5], NOW_MS) for name in attempt.plan.cohort[1:5]}
    shown = [
        signed("p000", first, attempt.plan),
        *(signed(name, shares, attempt.plan) for name, shares in others.items()),
    ]
    assert reason(lambda: attempt.members["p000"].mask(shown, attempt.vectors["p000"], NOW_MS)) == "shares"


def test_shares_that_their_maker_did_not_sign_are_refused() -> None:
    attempt = Attempt()
    envelopes = attempt.shares().envelopes
    other = signed("p002", attempt.sent_shares["p001"], attempt.plan)
    forged = msgspec.structs.replace(envelopes[1], signature=other.signature)
    shown = with_envelope(envelopes, 1, forged)
    assert reason(lambda: attempt.members["p000"].mask(shown, attempt.vectors["p000"], NOW_MS)) == "shares"


def test_shares_of_another_attempt_are_refused() -> None:
    old, attempt = Attempt(1), Attempt(2)
    old.shares()
    envelopes = attempt.shares().envelopes
    replayed = signed("p001", old.sent_shares["p001"], old.plan)
    shown = with_envelope(envelopes, 1, replayed)
    assert reason(lambda: attempt.members["p000"].mask(shown, attempt.vectors["p000"], NOW_MS)) == "shares"
    resigned = signed("p001", old.sent_shares["p001"], attempt.plan)  # even if their maker signs them again
    shown = with_envelope(envelopes, 1, resigned)
    assert reason(lambda: attempt.members["p002"].mask(shown, attempt.vectors["p002"], NOW_MS)) == "shares"


def test_too_few_who_share_are_refused() -> None:
    attempt = Attempt()
    envelopes = attempt.shares().envelopes
    assert reason(lambda: attempt.members["p000"].mask(envelopes[:4], attempt.vectors["p000"], NOW_MS)) == "threshold"
    assert reason(lambda: attempt.members["p001"].mask(envelopes[2:], attempt.vectors["p001"], NOW_MS)) == "shares"


def test_words_of_a_wrong_length_or_ring_are_refused() -> None:
    attempt = Attempt()
    envelopes = attempt.shares().envelopes
    for name, words in (("p000", np.zeros(4, np.uint32)), ("p001", np.zeros(5, np.uint64))):
        assert reason(lambda name=name, words=words: attempt.members[name].mask(envelopes, words, NOW_MS)) == "words"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("survivors", "dropped", "refusal"),
    [
        (range(6), [5], "lists"),  # overlapping: both secrets of p005
        (range(5), [], "lists"),  # p005 has shared, and is in neither
        (range(4), [4, 5], "threshold"),
        (range(1, 6), [0], "lists"),  # this member's words are there: its key would open them
        ([0, 1, 2, 3, 4, 4], [5], "lists"),
        (range(5), [5, 5], "lists"),
        ([*range(6), 7], [], "lists"),
        ([], range(6), "lists"),
    ],
)
def test_lists_that_overlap_leave_out_repeat_or_are_too_short_are_refused(
    survivors: list[int], dropped: list[int], refusal: str
) -> None:
    attempt = Attempt()
    attempt.updates()
    lists = SurvivorList(
        survivors=tuple(f"p{index:03}" for index in survivors), dropped=tuple(f"p{index:03}" for index in dropped)
    )
    assert reason(lambda: attempt.members["p000"].make_unmasking(lists)) == refusal


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """Sixteen members on a ring, eight neighbours each: 7 of each 9, and 13 of all, must stay."""
    monkeypatch.setattr("federation.secagg.graph.COMPLETE_MAX", 6)
    return Attempt(count=16, neighbours=8)


def lists_without(attempt: Attempt, dropped: list[str]) -> SurvivorList:
    return SurvivorList(
        survivors=tuple(name for name in attempt.plan.cohort if name not in dropped), dropped=tuple(dropped)
    )


def test_on_a_ring_a_small_neighbourhood_is_refused_even_where_enough_of_all_stay(ring: Attempt) -> None:
    ring.updates()
    near = [name for name in ring.coordinator._graph.neighbourhoods["p000"] if name != "p000"]
    assert reason(lambda: ring.members["p000"].make_unmasking(lists_without(ring, near[:3]))) == "threshold"
    ring.members[near[7]].make_unmasking(lists_without(ring, []))


def test_on_a_ring_too_few_of_all_are_refused_even_where_the_neighbourhood_is_whole(ring: Attempt) -> None:
    ring.updates()
    far = [name for name in ring.plan.cohort if name not in ring.coordinator._graph.neighbourhoods["p000"]]
    assert reason(lambda: ring.members["p000"].make_unmasking(lists_without(ring, far[:4]))) == "threshold"
    other = next(name for name in ring.coordinator._graph.neighbourhoods["p000"] if name != "p000")
    lone = ring.members[other]
    gone = [name for name in ring.plan.cohort if name not in ring.coordinator._graph.neighbourhoods[other]][:3]
    assert len(lone.make_unmasking(lists_without(ring, gone)).survivors_shares) == 9


def test_the_coordinator_goes_on_with_no_neighbourhood_that_is_too_small(ring: Attempt) -> None:
    near: list[str] = []

    def go(attempt: Attempt) -> SurvivorList:
        shares = attempt.shares()
        near.extend(name for name in attempt.coordinator._graph.neighbourhoods["p000"] if name != "p000")
        staying = [name for name in attempt.plan.cohort if name not in near[:3]]
        for name in staying:
            attempt.coordinator.take_update(
                name, attempt.members[name].mask(shares.envelopes, attempt.vectors[name], NOW_MS)
            )
        return attempt.coordinator.close_updates(staying)

    assert reason(lambda: go(ring)) == "threshold"


def test_a_member_answers_one_list_only() -> None:
    attempt = Attempt()
    lists = attempt.updates()
    attempt.members["p000"].make_unmasking(lists)
    other = SurvivorList(survivors=lists.survivors[:5], dropped=lists.survivors[5:])
    assert reason(lambda: attempt.members["p000"].make_unmasking(other)) == "stage"
    assert reason(lambda: attempt.members["p000"].make_unmasking(lists)) == "stage"


def test_a_member_that_has_seen_a_lie_says_no_more() -> None:
    attempt = Attempt()
    lists = attempt.updates()
    reason(lambda: attempt.members["p000"].make_unmasking(SurvivorList(survivors=lists.survivors, dropped=("p005",))))
    assert reason(lambda: attempt.members["p000"].make_unmasking(lists)) == "stage"


def test_stages_come_in_order_and_once() -> None:
    attempt = Attempt()
    lone = MaskingMember(attempt.plan, "p000", roster)
    assert reason(lambda: lone.make_shares((), NOW_MS)) == "stage"
    assert reason(lone.make_keys) == "stage"
    envelopes = attempt.keys().envelopes
    attempt.members["p000"].make_shares(envelopes, NOW_MS)
    assert reason(lambda: attempt.members["p000"].make_shares(envelopes, NOW_MS)) == "stage"


def test_no_two_answers_open_both_secrets_of_one_member() -> None:
    # The coordinator shows half of the members one list and half another. Neither secret of p005 reaches its threshold.
    attempt = Attempt()
    attempt.updates()
    whole, without = tuple(attempt.plan.cohort), tuple(attempt.plan.cohort[:5])
    answers = [
        attempt.members[name].make_unmasking(
            SurvivorList(survivors=whole, dropped=())
            if index % 2
            else SurvivorList(survivors=without, dropped=("p005",))
        )
        for index, name in enumerate(attempt.plan.cohort[:5])
    ]
    selves = sum("p005" in answer.survivors_shares for answer in answers)
    keys = sum("p005" in answer.dropped_shares for answer in answers)
    assert selves + keys == 5
    assert min(selves, keys) < 5 == attempt.coordinator._graph.compute_threshold("p005")


def test_secrets_are_not_shown_and_are_gone_after_the_last_stage() -> None:
    attempt = Attempt()
    lists = attempt.updates()
    member = attempt.members["p000"]
    secrets = [member._self_seed, member._key_seed, *(share for pair in member._held.values() for share in pair)]
    assert all(secret.hex() not in repr(member) and repr(secret)[2:-1] not in repr(member) for secret in secrets)
    member.make_unmasking(lists)
    assert not member._held
    assert member._self_seed == member._key_seed == b""


# Members that lie


def answered(attempt: Attempt, *dropped: str, lie: dict[str, Callable[[Unmasking], Unmasking]]) -> MaskingCoordinator:
    lists = attempt.updates(*dropped)
    for name in lists.survivors:
        answer = attempt.members[name].make_unmasking(lists)
        attempt.coordinator.take_unmasking(name, lie[name](answer) if name in lie else answer)
    return attempt.coordinator


def test_a_wrong_share_is_told_its_sender_named_and_the_sum_still_right() -> None:
    attempt = Attempt()

    def lie(answer: Unmasking) -> Unmasking:
        return Unmasking(survivors_shares=dict.fromkeys(answer.survivors_shares, b"\x01" * 33), dropped_shares={})

    result = answered(attempt, lie={"p001": lie}).compute_result()
    assert result.liars == ("p001",)
    np.testing.assert_array_equal(result.words, clear_sum(attempt.vectors, result.survivors))


def test_too_many_wrong_shares_give_no_sum() -> None:
    attempt = Attempt()

    def lie(answer: Unmasking) -> Unmasking:
        return Unmasking(survivors_shares=dict.fromkeys(answer.survivors_shares, b"\x01" * 33), dropped_shares={})

    assert reason(answered(attempt, lie={"p001": lie, "p002": lie}).compute_result) == "threshold"


def test_answers_that_were_not_asked_for_are_refused() -> None:
    attempt = Attempt()
    lists = attempt.updates("p005")
    answer = attempt.members["p000"].make_unmasking(lists)
    for wrong in (
        Unmasking(survivors_shares={}, dropped_shares=answer.dropped_shares),
        Unmasking(survivors_shares=answer.survivors_shares, dropped_shares={}),
        Unmasking(survivors_shares=answer.survivors_shares | {"p005": b""}, dropped_shares=answer.dropped_shares),
    ):
        assert reason(lambda wrong=wrong: attempt.coordinator.take_unmasking("p000", wrong)) == "shares"  # type: ignore[misc]
    assert reason(lambda: attempt.coordinator.take_unmasking("p005", answer)) == "stage"
    attempt.coordinator.take_unmasking("p000", answer)
    assert reason(lambda: attempt.coordinator.take_unmasking("p000", answer)) == "stage"


def test_a_member_that_shares_another_self_mask_than_it_committed_to_is_named() -> None:
    attempt = Attempt()
    member = attempt.members["p001"]
    list_of_keys = attempt.keys()
    member._self_seed = bytes(32)
    for name, each in attempt.members.items():
        attempt.sent_shares[name] = each.make_shares(list_of_keys.envelopes, NOW_MS)
        attempt.coordinator.take_shares(
            name, attempt.sent_shares[name], signed(name, attempt.sent_shares[name], attempt.plan)
        )
    envelopes = attempt.coordinator.close_shares(attempt.plan.cohort).envelopes
    for name, each in attempt.members.items():
        attempt.coordinator.take_update(name, each.mask(envelopes, attempt.vectors[name], NOW_MS))
    lists = attempt.coordinator.close_updates(attempt.plan.cohort)
    for name, each in attempt.members.items():
        attempt.coordinator.take_unmasking(name, each.make_unmasking(lists))
    with pytest.raises(MaskingRefusedError, match="p001 shared another self mask"):
        attempt.coordinator.compute_result()


def test_a_dropped_member_that_shared_another_key_than_it_showed_is_named() -> None:
    attempt = Attempt()
    list_of_keys = attempt.keys()
    attempt.members["p001"]._key_seed = bytes(32)
    for name, each in attempt.members.items():
        attempt.sent_shares[name] = each.make_shares(list_of_keys.envelopes, NOW_MS)
        attempt.coordinator.take_shares(
            name, attempt.sent_shares[name], signed(name, attempt.sent_shares[name], attempt.plan)
        )
    envelopes = attempt.coordinator.close_shares(attempt.plan.cohort).envelopes
    staying = [name for name in attempt.plan.cohort if name != "p001"]
    for name in staying:
        attempt.coordinator.take_update(name, attempt.members[name].mask(envelopes, attempt.vectors[name], NOW_MS))
    lists = attempt.coordinator.close_updates(staying)
    for name in staying:
        attempt.coordinator.take_unmasking(name, attempt.members[name].make_unmasking(lists))
    with pytest.raises(MaskingRefusedError, match="p001 shared another key"):
        attempt.coordinator.compute_result()


def test_malformed_keys_shares_and_words_are_refused_by_the_coordinator_and_change_nothing() -> None:
    attempt = Attempt()
    coordinator, plan = attempt.coordinator, attempt.plan
    for key in (b"k" * 32, b"\xff" * 2464):
        message = MaskKeys(key=key)
        assert reason(partial(coordinator.take_keys, "p000", message, signed("p000", message, plan))) == "keys"
    good = MaskingMember(plan, "p000", roster).make_keys()
    for part in (slice(0, 1216), slice(1216, 2432)):
        spoilt = bytearray(good.key)
        spoilt[part] = b"\xff" * 1216
        message = MaskKeys(key=bytes(spoilt))
        assert reason(partial(coordinator.take_keys, "p000", message, signed("p000", message, plan))) == "keys"
    assert reason(lambda: coordinator.take_keys("zoe", good, signed("zoe", good, plan))) == "stage"
    envelopes = attempt.keys().envelopes
    shares = attempt.members["p000"].make_shares(envelopes, NOW_MS)
    fewer = MaskShares(shares=shares.shares[1:])
    assert reason(lambda: coordinator.take_shares("p000", fewer, signed("p000", fewer, plan))) == "shares"
    garbled = MaskShares(shares=tuple(msgspec.structs.replace(share, sealed=b"x") for share in shares.shares))
    assert reason(lambda: coordinator.take_shares("p000", garbled, signed("p000", garbled, plan))) == "shares"
    assert reason(lambda: coordinator.close_shares(["p000"])) == "stage"
    coordinator.take_shares("p000", shares, signed("p000", shares, plan))


def test_words_that_are_too_few_or_too_many_are_refused_by_the_coordinator() -> None:
    attempt = Attempt()
    words = attempt.members["p000"].mask(attempt.shares().envelopes, attempt.vectors["p000"], NOW_MS)
    for payload in (words.payload[:-4], words.payload + bytes(4), b""):
        assert reason(partial(attempt.coordinator.take_update, "p000", MaskedUpdate(payload=payload))) == "words"
    attempt.coordinator.take_update("p000", words)


def test_of_each_stage_one_message_of_each_member_counts_and_none_of_anybody_else() -> None:
    attempt = Attempt()
    coordinator, plan = attempt.coordinator, attempt.plan
    own = attempt.members["p000"].make_keys()
    coordinator.take_keys("p000", own, signed("p000", own, plan))
    assert reason(lambda: coordinator.take_keys("p000", own, signed("p000", own, plan))) == "stage"

    attempt = Attempt(count=9)
    coordinator, plan, envelopes = attempt.coordinator, attempt.plan, attempt.keys().envelopes
    shares = {name: member.make_shares(envelopes, NOW_MS) for name, member in attempt.members.items()}
    for name in plan.cohort[:8]:
        coordinator.take_shares(name, shares[name], signed(name, shares[name], plan))
    for name in ("p000", "zoe"):
        assert (
            reason(partial(coordinator.take_shares, name, shares["p000"], signed(name, shares["p000"], plan)))
            == "stage"
        )
    passed_on = coordinator.close_shares(plan.cohort[:8]).envelopes

    words = {name: attempt.members[name].mask(passed_on, attempt.vectors[name], NOW_MS) for name in plan.cohort[:8]}
    for name in plan.cohort[:7]:
        coordinator.take_update(name, words[name])
    for name in ("p000", "p008"):
        assert reason(partial(coordinator.take_update, name, words["p000"])) == "stage"
    lists = coordinator.close_updates(plan.cohort[:7])

    for name in plan.cohort[:7]:
        coordinator.take_unmasking(name, attempt.members[name].make_unmasking(lists))
    for name in ("p000", "p007"):
        assert (
            reason(partial(coordinator.take_unmasking, name, Unmasking(survivors_shares={}, dropped_shares={})))
            == "stage"
        )
    assert coordinator.compute_result().survivors == plan.cohort[:7]


def test_a_sealed_share_that_does_not_open_names_its_maker() -> None:
    attempt = Attempt()
    envelopes = attempt.shares().envelopes
    spoiled = MaskShares(
        shares=tuple(
            msgspec.structs.replace(share, sealed=other.sealed)
            for share, other in zip(
                attempt.sent_shares["p001"].shares, attempt.sent_shares["p001"].shares[::-1], strict=True
            )
        )
    )
    shown = with_envelope(envelopes, 1, signed("p001", spoiled, attempt.plan))
    with pytest.raises(MaskingRefusedError, match="p001"):
        attempt.members["p000"].mask(shown, attempt.vectors["p000"], NOW_MS)
