"""A coordinator with the federation's real keys lies to real participants: they refuse or drop it, and show nothing after it."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from contract.federation.frames import SignedEnvelope
from contract.federation.messages import (
    KeyList,
    MaskKeys,
    MaskShares,
    Message,
    Refusal,
    RoundPlan,
    ShareList,
    SurvivorList,
    Unmasking,
)
from contract.federation.settings import RoundPrivacySettings
from federation.messages.envelope import seal, unseal
from federation.secagg.graph import NEIGHBOURS
from federation.secagg.masked_sum import build_masking_plan
from federation.secagg.member_side import MaskingMember
from federation.simulation.world import World
from federation.transports.memory import CrashError, MemoryTransport
from support.federation_world import asking, small_settings, small_world
from support.lying_coordinator import Conversation, Ear, next_plan, said_by, tell, types_of, write

SHOP = "shop-0"


@pytest.fixture
def world() -> World:
    made = small_world(small_settings("masked"), 4)
    made.enrol_all()
    return made


def small_neighbourhoods(plan: RoundPlan) -> RoundPlan:
    assert plan.masking is not None
    return replace(plan, masking=replace(plan.masking, neighbours=NEIGHBOURS - 2))


def test_a_plan_with_fewer_neighbours_than_the_promise_needs_is_refused_before_training(world: World) -> None:
    ear = Ear(world)
    plan = next_plan(world)
    tell(world, small_neighbourhoods(plan), plan)
    assert said_by(ear.answers(), SHOP) == [Refusal(reason="keys")]
    tell(world, replace(plan, attempt=1, masking=None), replace(plan, attempt=1))
    assert said_by(ear.answers(), SHOP) == [Refusal(reason="keys")]
    tell(world, replace(plan, attempt=2), replace(plan, attempt=2))
    assert types_of(ear.answers()) == {"keys"}, "the honest plan continues"


def test_a_plan_that_states_its_epsilon_at_a_great_delta_is_refused_and_costs_nothing() -> None:
    settings = small_settings(
        "masked", privacy=RoundPrivacySettings(level="client", noise_multiplier=0.5, epsilon_max=1000)
    )
    world = small_world(asking(settings, epsilon_max=4.0), 4)
    world.enrol_all()
    ear = Ear(world)
    plan = next_plan(world)
    for attempt, (delta, reason) in enumerate([(0.9, "privacy"), (1.1e-5, "privacy"), (1e-5, "budget")]):
        lie = replace(plan, attempt=attempt, privacy=replace(plan.privacy, delta=delta))
        tell(world, lie, lie)
        assert said_by(ear.answers(), SHOP) == [Refusal(reason=reason)]
    assert world.participants[SHOP].participant.state.spends == []


def test_nobody_s_own_statistics_are_given_to_a_coordinator_that_asks_for_them_without_masks() -> None:
    world = small_world(small_settings("robust"), 4, form=True)
    world.enrol_all()
    ear = Ear(world)
    plan = next_plan(world)
    assert (plan.purpose, plan.mode) == ("statistics", "masked")
    bare = replace(plan, mode="robust", masking=None)
    tell(world, bare, bare)
    assert {type(opened.message) for opened in ear.answers()} == {Refusal}
    honest = replace(plan, attempt=1)
    tell(world, honest, honest)
    assert types_of(ear.answers()) == {"keys"}


# Lies within an attempt. SHOP is the first of the cohort.


def other_keys(led: Conversation) -> KeyList:
    """With keys of the coordinator's own under another's name, signed as well as it can."""
    assert isinstance(led.due, KeyList)
    member = MaskingMember(build_masking_plan(led.world.settings.name, led.plan), "shop-1", lambda _: None)
    signed = seal(
        member.make_keys(),
        led.world.identity,
        federation=led.world.settings.name,
        round_number=led.plan.round,
        attempt=led.plan.attempt,
        sent_at_ms=led.world.broker.now_ms,
        sender="shop-1",
    )
    return KeyList(envelopes=(led.due.envelopes[0], signed, *led.due.envelopes[2:]))


def keys_of(led: Conversation, chosen: slice) -> KeyList:
    assert isinstance(led.due, KeyList)
    return KeyList(envelopes=led.due.envelopes[chosen])


def keys_twice(led: Conversation) -> KeyList:
    assert isinstance(led.due, KeyList)
    return KeyList(envelopes=(*led.due.envelopes[:3], led.due.envelopes[1]))


def shares_of(led: Conversation, chosen: slice) -> ShareList:
    assert isinstance(led.due, ShareList)
    return ShareList(envelopes=led.due.envelopes[chosen])


def lists(led: Conversation, survivors: int, *dropped: int) -> SurvivorList:
    """The first this many survived, and those have dropped."""
    cohort = led.plan.cohort
    return SurvivorList(survivors=cohort[:survivors], dropped=tuple(cohort[place] for place in dropped))


REFUSED_FOR_ITS_LIE: dict[str, tuple[str, Callable[[Conversation], Message]]] = {
    "keys of its own making": ("keys", other_keys),
    "the keys of all others": ("keys", lambda led: keys_of(led, slice(1, None))),
    "the keys of two": ("keys", lambda led: keys_of(led, slice(2))),
    "somebody's keys twice": ("keys", keys_twice),
    "shares before keys": ("keys", lambda led: ShareList(envelopes=keys_of(led, slice(None)).envelopes)),
    "lists before words": ("keys", lambda led: lists(led, 4)),
    "other keys after the first": ("shares", lambda led: KeyList(envelopes=shares_of(led, slice(None)).envelopes)),
    "the shares of all others": ("shares", lambda led: shares_of(led, slice(1, None))),
    "the shares of two": ("shares", lambda led: shares_of(led, slice(2))),
    "shares again": ("updates", lambda _: ShareList(envelopes=())),
    "one who survived and dropped": ("updates", lambda led: lists(led, 4, 3)),
    "two survivors": ("updates", lambda led: lists(led, 2, 2, 3)),
    "one left out": ("updates", lambda led: lists(led, 3)),
}


LIES_TO_ONE = {"the keys of all others", "the shares of all others"}
"""For the others that one has vanished, which is no lie."""


@pytest.mark.parametrize("lie", REFUSED_FOR_ITS_LIE, ids=lambda lie: lie.replace(" ", "-"))
def test_a_signed_lie_is_answered_with_a_refusal_and_the_truth_after_it_with_nothing(world: World, lie: str) -> None:
    stage, make = REFUSED_FOR_ITS_LIE[lie]
    led = Conversation(world, stage)
    assert led.tell(make(led)) == [Refusal(reason="keys")]
    assert led.tell(led.due) == []


@pytest.mark.parametrize("lie", REFUSED_FOR_ITS_LIE, ids=lambda lie: lie.replace(" ", "-"))
def test_every_member_to_which_it_is_a_lie_refuses(world: World, lie: str) -> None:
    stage, make = REFUSED_FOR_ITS_LIE[lie]
    led = Conversation(world, stage)
    answers = led.tell_all(make(led))
    refused = {name for name, said in answers.items() if said == [Refusal(reason="keys")]}
    assert refused == ({SHOP} if lie in LIES_TO_ONE else set(led.plan.cohort))


def test_of_two_lists_of_survivors_only_the_first_is_answered(world: World) -> None:
    led = Conversation(world, "updates")
    assert [type(message) for message in led.tell(lists(led, 4))] == [Unmasking]
    assert led.tell(lists(led, 3, 3)) == [Refusal(reason="keys")]
    assert led.tell(lists(led, 4)) == []


AGAIN: dict[str, Callable[[RoundPlan], RoundPlan]] = {
    "the same": lambda plan: plan,
    "for other training": lambda plan: replace(plan, clip_norm=plan.clip_norm / 2),
    "to another cohort": lambda plan: replace(plan, cohort=plan.cohort[:3]),
    "of an earlier round": lambda plan: replace(plan, round=0, attempt=5),
}
CONTRADICTING = {"for other training", "to another cohort"}
"""Only the coordinator can have said that; the others may be somebody's copy of what it said."""


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("stage", ["keys", "updates"])
@pytest.mark.parametrize("again", AGAIN, ids=lambda again: again.replace(" ", "-"))
def test_for_an_attempt_that_was_joined_no_keys_are_made_again(
    world: World, stage: str, again: str, restarted: bool
) -> None:
    led = Conversation(world, stage)
    if restarted:
        world.restart_participant(SHOP)
    before = world.participants[SHOP].participant.dropped.get("wrong_round", 0)
    plan = AGAIN[again](led.plan)
    tell(world, plan, plan)
    assert said_by(led.ear.answers(), SHOP) == []
    assert world.participants[SHOP].participant.dropped["wrong_round"] > before
    answers = led.tell(led.due)
    if restarted or again in CONTRADICTING:
        assert answers == [], "the secrets of the first time are gone"
    else:
        expected = MaskShares if stage == "keys" else Unmasking
        assert [type(answer) for answer in answers] == [expected], "what anybody may have copied ends nothing"


def test_keys_that_left_just_before_a_crash_are_not_made_again(world: World) -> None:
    plan, ear, process = next_plan(world), Ear(world), world.participants[SHOP]
    write(world, plan, plan)
    assert isinstance(process._transport, MemoryTransport)
    process._transport.crash_after = 1
    with pytest.raises(CrashError):
        process.run_once(0.0)
    assert len(said_by(ear.answers(), SHOP)) == 1
    world.restart_participant(SHOP)
    tell(world, plan, plan)
    assert said_by(ear.answers(), SHOP) == []


def test_another_attempt_has_other_keys_though_nothing_is_trained_anew(world: World) -> None:
    led = Conversation(world, "keys")
    later = replace(led.plan, attempt=1)
    tell(world, later, later)
    answers = led.ear.answers()
    assert types_of(answers) == {"keys"}
    assert isinstance(led.due, KeyList)
    earlier = {unsealed_keys(signed, world) for signed in led.due.envelopes}
    now = {message.key for message in (opened.message for opened in answers) if isinstance(message, MaskKeys)}
    assert len(now) == 4
    assert not now & earlier


def unsealed_keys(signed: SignedEnvelope, world: World) -> bytes:
    opened = unseal(
        signed,
        federation=world.settings.name,
        roster=lambda name: world.identities[name].public,
        now_ms=world.broker.now_ms,
    )
    assert isinstance(opened.message, MaskKeys)
    return opened.message.key
