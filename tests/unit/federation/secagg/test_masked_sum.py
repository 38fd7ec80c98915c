"""The sum is exact in the ring for every pattern of losses that is promised, and any worse one fails cleanly; it shows nothing else."""

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract.federation.frames import Frame
from contract.federation.messages import MaskedUpdate, MaskingTerms, RoundPlan
from federation.messages.envelope import seal, to_records
from federation.numeric.masks import RING_TYPES
from federation.refusals import MaskingRefusedError
from federation.secagg import graph
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.graph import Graph, build_graph, compute_threshold
from federation.secagg.masked_sum import (
    Attempts,
    MaskingPlan,
    build_masking_plan,
    check_overflow,
    compute_transcript,
    split_keys,
)
from federation.secagg.member_side import MaskingMember
from support.masking_round import (
    FEDERATION,
    NOW_MS,
    clear_sum,
    identity,
    plan_for,
    roster,
    run_round,
    seeded_bytes,
    signed,
    vectors_for,
)

STAGES = ("keys", "shares", "updates", "unmasking")


def promised(plan: MaskingPlan, lost: dict[str, str]) -> bool:
    """On the complete graph: of those who sent keys, more than two thirds stay to the end."""
    began = [name for name in plan.cohort if lost.get(name) != "keys"]
    stayed = [name for name in began if name not in lost]
    return len(began) >= plan.members_min and len(stayed) >= max(
        compute_threshold(len(began), complete=True), plan.members_min
    )


def check(plan: MaskingPlan, lost: dict[str, str], seed: object = 0) -> None:
    vectors = vectors_for(plan)
    result = run_round(plan, vectors, lost, seed)
    survivors = tuple(name for name in plan.cohort if lost.get(name, "unmasking") == "unmasking")
    assert result.survivors == survivors
    assert result.liars == ()
    np.testing.assert_array_equal(result.words, clear_sum(vectors, survivors))


patterns = st.integers(3, 8).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.dictionaries(st.integers(0, count - 1), st.sampled_from(STAGES), max_size=count),
        st.sampled_from(sorted(RING_TYPES)),
        st.integers(0, 2**32),
    )
)


@settings(max_examples=40)
@given(patterns)
def test_the_sum_is_that_of_the_survivors_or_there_is_none(case: tuple[int, dict[int, str], int, int]) -> None:
    count, losses, bits, seed = case
    plan = plan_for(count, bits=bits)
    lost = {plan.cohort[index]: stage for index, stage in losses.items()}
    if promised(plan, lost):
        check(plan, lost, seed)
    else:
        with pytest.raises(MaskingRefusedError) as error:
            run_round(plan, vectors_for(plan), lost, seed)
        assert error.value.reason == "threshold"


@pytest.mark.parametrize("stage", STAGES)
def test_as_many_as_are_promised_may_vanish_in_any_one_stage(stage: str) -> None:
    plan = plan_for(10)
    check(plan, dict.fromkeys(plan.cohort[2:5], stage))


@pytest.mark.slow
@given(patterns)
def test_the_sum_is_that_of_the_survivors_or_there_is_none_in_many_more_cases(
    case: tuple[int, dict[int, str], int, int],
) -> None:
    count, losses, bits, seed = case
    plan = plan_for(count, bits=bits)
    lost = {plan.cohort[index]: stage for index, stage in losses.items()}
    if promised(plan, lost):
        check(plan, lost, seed)
    else:
        with pytest.raises(MaskingRefusedError):
            run_round(plan, vectors_for(plan), lost, seed)


def ring_of(plan: MaskingPlan, members: list[str], seed: object) -> Graph:
    """The graph that these members' keys give, worked out next to the round that `run_round` runs."""
    made = {name: MaskingMember(plan, name, roster, random=seeded_bytes(f"{seed}/{name}")) for name in members}
    keys = {name: split_keys(member.make_keys()) for name, member in made.items()}
    return build_graph(members, compute_transcript(plan, keys).digest, plan.neighbours)


def promised_on_a_ring(plan: MaskingPlan, lost: dict[str, str], seed: object) -> bool:
    """Of all who sent keys enough are in the sum, and of each one's neighbourhood enough stay to the end."""
    began = [name for name in plan.cohort if lost.get(name) != "keys"]
    if len(began) < plan.members_min:
        return False
    ring = ring_of(plan, began, seed)
    summed = [name for name in began if lost.get(name) not in ("shares", "updates")]
    sharers, stayed = [name for name in began if lost.get(name) != "shares"], {*began} - lost.keys()
    return len(summed) >= ring.survivors_min and all(
        len(stayed.intersection(ring.neighbourhoods[owner])) >= ring.compute_threshold(owner) for owner in sharers
    )


def check_on_a_ring(case: tuple[dict[int, str], int], count: int, neighbours: int) -> None:
    losses, seed = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "COMPLETE_MAX", 6)
        plan = plan_for(count, neighbours=neighbours)
        lost = {plan.cohort[index]: stage for index, stage in losses.items()}
        if promised_on_a_ring(plan, lost, seed):
            check(plan, lost, seed)
        else:
            with pytest.raises(MaskingRefusedError) as error:
                run_round(plan, vectors_for(plan), lost, seed)
            assert error.value.reason == "threshold"


def ring_patterns(count: int, most: int) -> "st.SearchStrategy[tuple[dict[int, str], int]]":
    return st.tuples(
        st.dictionaries(st.integers(0, count - 1), st.sampled_from(STAGES), max_size=most), st.integers(0, 2**32)
    )


@settings(max_examples=15)  # a ring of ten takes a tenth of a second
@given(ring_patterns(10, 4))
@example(({1: "shares", 7: "unmasking"}, 2))
@example(({1: "keys", 4: "keys", 7: "keys", 9: "updates"}, 0))
def test_on_a_ring_the_sum_is_right_exactly_where_its_neighbourhoods_promise_it(
    case: tuple[dict[int, str], int],
) -> None:
    check_on_a_ring(case, 10, 6)


@pytest.mark.slow
@given(ring_patterns(20, 7))
def test_on_a_larger_ring_the_sum_is_right_exactly_where_its_neighbourhoods_promise_it(
    case: tuple[dict[int, str], int],
) -> None:
    check_on_a_ring(case, 20, 8)


def test_a_ring_above_the_bound_of_complete_graphs_works_with_its_real_sizes() -> None:
    plan = plan_for(34, neighbours=8)
    check(plan, {"p003": "shares", "p010": "updates", "p020": "unmasking"})


# Configuration


def round_plan(**changes: object) -> RoundPlan:
    from contract.federation.messages import LocalTraining, PrivacyTerms, TensorShape

    fields: dict[str, object] = {
        "round": 3,
        "attempt": 1,
        "mode": "masked",
        "cohort": plan_for(4).cohort,
        "updates_min": 3,
        "base_version": 0,
        "shapes": (TensorShape(name="w", shape=(2, 3)), TensorShape(name="b", shape=())),
        "training": LocalTraining(epochs=1, batch_size=8, learning_rate=0.1, prior_offset=True, proximal_mu=0.0),
        "clip_norm": 1.0,
        "frauds_weight": 0.5,
        "weight_unit": 1.0,
        "weight_max": 1.0,
        "privacy": PrivacyTerms(
            level="none", noise_multiplier=0, delta=1e-5, epsilon_before=0, epsilon_after=0, examples_min=0
        ),
        "bits": 32,
        "masking": MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=1e6),
        "seed": 1,
        "roster_version": 1,
    }
    return RoundPlan(**(fields | changes))  # type: ignore[arg-type]


def test_the_masking_part_of_a_round_s_plan_has_a_word_for_each_parameter_and_the_weight() -> None:
    plan = build_masking_plan(FEDERATION, round_plan())
    assert (plan.words, plan.bits, plan.members_min, plan.cohort) == (8, 32, 3, plan_for(4).cohort)
    wide = MaskingTerms(ring_bits=32, neighbours=40, threshold=3, scale=1e6)
    counted = build_masking_plan(FEDERATION, round_plan(masking=wide, counts_clipped=True))
    assert (counted.words, counted.neighbours) == (9, 40)
    with pytest.raises(MaskingRefusedError, match="masking is missing"):
        build_masking_plan(FEDERATION, round_plan(masking=None))


@pytest.mark.parametrize("threshold", [2, 4])
def test_a_plan_that_wants_another_threshold_than_its_graph_needs_is_refused(threshold: int) -> None:
    terms = MaskingTerms(ring_bits=32, neighbours=32, threshold=threshold, scale=1e6)
    with pytest.raises(MaskingRefusedError, match=f"threshold is {threshold}, this graph needs 3"):
        build_masking_plan(FEDERATION, round_plan(masking=terms))


@pytest.mark.parametrize("changes", [{"bits": 24}, {"words": 0}, {"members_min": 2}, {"members_min": 6}])
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(MaskingRefusedError) as error:
        msgspec.structs.replace(plan_for(5), **changes)
    assert error.value.reason == "plan"


def test_a_plan_may_be_of_a_single_word() -> None:
    assert msgspec.structs.replace(plan_for(5), words=1).words == 1


def test_a_sum_that_could_overflow_is_refused_when_the_round_is_configured() -> None:
    plan = plan_for(10)
    assert check_overflow(plan, 2e8, 1.0).largest_sum < 2**31
    with pytest.raises(MaskingRefusedError) as error:
        check_overflow(plan, 2.2e8, 1.0)
    assert error.value.reason == "overflow"


def test_an_attempt_is_never_taken_twice_nor_an_earlier_round() -> None:
    attempts = Attempts()
    attempts.admit(plan_for(3, attempt=1))
    attempts.admit(plan_for(3, attempt=2))
    for attempt in (1, 2):
        with pytest.raises(MaskingRefusedError, match="is not after"):
            attempts.admit(plan_for(3, attempt=attempt))
    attempts.admit(msgspec.structs.replace(plan_for(3), round=4, attempt=0))
    with pytest.raises(MaskingRefusedError):
        attempts.admit(plan_for(3, attempt=9))


def test_the_upload_of_one_member_of_ten_stays_within_the_promised_bytes() -> None:
    plan = plan_for(10, words=1_000_001)
    members = {name: MaskingMember(plan, name, roster, random=seeded_bytes(name)) for name in plan.cohort}
    coordinator = MaskingCoordinator(plan)
    sent: dict[str, int] = dict.fromkeys(plan.cohort, 0)

    def send(name: str, message: object, *, sealed: bool = False) -> None:
        reader = identity("coordinator").public if sealed else None
        envelope = seal(
            message,  # type: ignore[arg-type]
            identity(name),
            federation=FEDERATION,
            round_number=3,
            attempt=1,
            sent_at_ms=NOW_MS,
            reader=reader,
        )
        frames = to_records(envelope, identity(name))
        for frame in frames:
            msgspec.msgpack.decode(frame, type=Frame)
        sent[name] += sum(map(len, frames))

    for name, member in members.items():
        keys = member.make_keys()
        send(name, keys)
        coordinator.take_keys(name, keys, signed(name, keys, plan))
    key_list = coordinator.close_keys(plan.cohort)
    for name, member in members.items():
        shares = member.make_shares(key_list.envelopes, NOW_MS)
        send(name, shares)
        coordinator.take_shares(name, shares, signed(name, shares, plan))
    share_list = coordinator.close_shares(plan.cohort)
    words = np.zeros(plan.words, RING_TYPES[32])
    update = members["p000"].mask(share_list.envelopes, words, NOW_MS)
    send("p000", update, sealed=True)
    for name in plan.cohort:
        coordinator.take_update(name, MaskedUpdate(payload=update.payload))
    send("p000", members["p000"].make_unmasking(coordinator.close_updates(plan.cohort)), sealed=True)
    assert sent["p000"] <= 4_100_000
    assert sent["p000"] - 4 * plan.words <= 40_000
