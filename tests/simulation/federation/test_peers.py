"""A name belongs to the keys it first came with: what participants do, and tell their people, when a roster says otherwise."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from contract.errors import ConfigurationError
from contract.federation.fields import COORDINATOR
from contract.federation.messages import Member, Order, Roster
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.participant.peers import Word, compute_fingerprint, find_distrusted, update_pins
from federation.participant.process import load_word, save_word
from federation.simulation.world import World
from federation.transports.ports import Outgoing
from support.federation_world import small_settings, small_world

OTHER = "shop-1"


def world_of(shops: int = 4) -> World:
    world = small_world(small_settings("masked", attempts_max=1), shops)
    world.enrol_all()
    world.run_rounds(1)
    assert world.state.model.version == 1
    return world


def with_keys(member: Member, identity: Identity) -> Member:
    return replace(member, signing_key=identity.public.signing_key, sealing_key=identity.public.sealing_key)


def say(world: World, roster: Roster) -> None:
    """Under the coordinator's own signature."""
    world.advance(1)
    signed = seal(
        roster, world.identity, federation=world.settings.name, sent_at_ms=world.broker.now_ms, epoch=world.state.epoch
    )
    for record in to_records(signed, world.identity):
        world.broker.take([Outgoing("control", b"coordinator", record)], COORDINATOR, exclusive=True)


def tell(world: World, members: Sequence[Member]) -> None:
    """A roster of the coordinator's own making, signed with its keys."""
    world.state.members = {member.name: member for member in members}
    world.state.roster_version += 1
    say(world, Roster(version=world.state.roster_version, members=tuple(members)))
    world.take_participants_turn()


def members_of(world: World) -> dict[str, Member]:
    return dict(world.state.members)


def warned(world: World, name: str, *, left: bool = False) -> dict[str, str]:
    return world.participants[name].participant.list_warnings(left=left)


def tell_people(world: World, name: str, word: Word) -> None:
    save_word(world._stores[name], world.settings.name, name, word, 0)


def test_other_keys_under_a_known_name_are_not_believed_and_a_round_with_them_is_refused_until_a_person_lets_them_in() -> (
    None
):
    world = world_of()
    world.order(Order(action="revoke", participant=OTHER))
    world.take_turn()
    old, new = world.identities[OTHER].public, Identity.generate(OTHER)
    world.identities[OTHER] = new
    with capture_logs() as logs:
        world.restart_participant(OTHER)
        world.enrol_all()
        world.take_turn()
    told = [line["what"] for line in logs if line["event"] == "roster_warning" and line["about"] == OTHER]
    assert len(told) == 3, "each of the others once; its own people know"
    for words in (old.fingerprint, new.public.fingerprint, "telephone", "federation peers accept shop-1"):
        assert all(words in one for one in told)
    world.run_rounds(1)
    assert world.state.model.version == 1
    assert world.state.failed is not None
    for name in ("shop-0", "shop-2", "shop-3"):
        world.restart_participant(name)
        assert set(warned(world, name)) == {OTHER}, "it is remembered over a restart"
        tell_people(world, name, Word(accepted={OTHER: "0" * 64}))
        world.participants[name].run_once(0.0)
        assert set(warned(world, name)) == {OTHER}, "only just these keys are let in"
        tell_people(world, name, Word(accepted={OTHER: new.public.fingerprint}))
        world.participants[name].run_once(0.0)
        assert not warned(world, name)
    world.run_rounds(1)
    assert world.state.model.version == 2
    tell(
        world,
        [
            with_keys(members_of(world)[OTHER], Identity.generate(OTHER)),
            *[m for n, m in members_of(world).items() if n != OTHER],
        ],
    )
    assert set(warned(world, "shop-0")) == {OTHER}, "and no third ones"


def test_a_name_that_vanished_and_comes_back_with_other_keys_is_not_believed() -> None:
    world = world_of()
    members = members_of(world)
    tell(world, [member for name, member in members.items() if name != OTHER])
    world.restart_participant("shop-0")
    assert not warned(world, "shop-0"), "nobody but its own people need ask why it is gone"
    tell(world, list((members | {OTHER: with_keys(members[OTHER], Identity.generate(OTHER))}).values()))
    assert set(warned(world, "shop-0")) == {OTHER}
    tell(world, list(members.values()))
    assert not warned(world, "shop-0"), "it is the one that it was"


def test_a_round_with_a_changed_key_shows_no_update_of_anybody() -> None:
    world = world_of()
    members = members_of(world)
    mallory = Identity.generate(OTHER)
    tell(world, list((members | {OTHER: with_keys(members[OTHER], mallory)}).values()))
    world.order_rounds(1)
    world.take_turn()
    said = [one.participant for name, one in world.participants.items() if name != OTHER]
    assert all(one.plan is None for one in said), "they refused"
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1


@pytest.mark.parametrize("key", ["signing_key", "sealing_key"])
def test_two_names_with_one_key_are_both_not_believed(key: str) -> None:
    world = world_of()
    members = members_of(world)
    twin = replace(members["shop-2"], name="shop-9")
    if key == "signing_key":
        twin = replace(twin, sealing_key=Identity.generate("shop-9").public.sealing_key)
    else:
        twin = replace(twin, signing_key=Identity.generate("shop-9").public.signing_key)
    tell(world, [*members.values(), twin])
    assert set(warned(world, "shop-0")) == {"shop-2", "shop-9"}
    tell(world, [*members.values(), replace(twin, status="revoked")])
    assert not warned(world, "shop-0"), "who is shut out does not count twice"


def test_a_name_that_stands_there_twice_is_not_believed() -> None:
    world = world_of()
    members = members_of(world)
    tell(world, [*members.values(), with_keys(members[OTHER], Identity.generate(OTHER))])
    assert "twice" in warned(world, "shop-0")[OTHER]
    assert world.participants["shop-0"].participant.state.distrusted == {OTHER: "twice"}


@pytest.mark.parametrize(
    "name", ["Shop-1", "sh\u043ep-1", "shop-1\n", "shop\u20111", "shop_1", "\uff53hop-1", "shop-1 "]
)
def test_a_name_that_only_looks_like_another_is_no_name(name: str) -> None:
    world = world_of()
    members = members_of(world)
    before = dict(world.participants["shop-0"].participant.state.members)
    tell(world, [*members.values(), replace(members[OTHER], name=name)])
    participant = world.participants["shop-0"].participant
    assert participant.state.members == before
    assert participant.dropped["malformed"] == 1
    assert "field members" in participant.last_drop


OWN_PLACE: dict[str, tuple[Callable[[Member], Member | None], str]] = {
    "gone": (lambda _: None, "is gone from the roster, and never left"),
    "other keys": (lambda member: with_keys(member, Identity.generate("shop-0")), "keys that are not its own"),
    "left": (lambda member: replace(member, status="left"), "and did not"),
    "shut out": (lambda member: replace(member, status="revoked"), "shut out by an operator"),
}


@pytest.mark.parametrize("case", OWN_PLACE)
def test_a_retailer_whose_own_place_on_the_roster_is_not_right_is_told(case: str) -> None:
    change, words = OWN_PLACE[case]
    world = world_of()
    members = members_of(world)
    own = change(members.pop("shop-0"))
    with capture_logs() as logs:
        tell(world, [*members.values(), *([own] if own else [])])
    (told,) = [line["what"] for line in logs if line["event"] == "roster_warning" and line["retailer"] == "shop-0"]
    assert words in told
    world.restart_participant("shop-0")
    assert words in warned(world, "shop-0")["shop-0"]


def test_a_retailer_that_left_by_itself_is_not_warned_of_it() -> None:
    world = world_of()
    world.participants["shop-0"].leave("")
    tell_people(world, "shop-0", Word(left=True))
    with capture_logs() as logs:
        world.take_turn()
        world.take_turn()
    assert world.participants["shop-0"].participant.membership == "left"
    assert not [line for line in logs if line["event"] == "roster_warning"]


def test_who_was_never_approved_is_not_warned() -> None:
    world = small_world(small_settings("masked"), 3)
    world.take_turn()
    say(world, Roster(version=1, members=()))
    world.take_participants_turn()
    assert not any(warned(world, name) for name in world.participants)


def test_what_an_earlier_build_remembered_is_pinned() -> None:
    world = world_of()
    process = world.participants["shop-0"]
    process.participant.state.pins = {}
    process._save()
    world.restart_participant("shop-0")
    members = members_of(world)
    assert set(world.participants["shop-0"].participant.state.pins) == set(members)
    tell(world, list((members | {OTHER: with_keys(members[OTHER], Identity.generate(OTHER))}).values()))
    assert set(warned(world, "shop-0")) == {OTHER}


def test_another_coordinator_than_before_is_believed_only_where_the_settings_and_a_person_say_so() -> None:
    world = world_of()
    before = world.participants["shop-0"].participant.state
    world.identity = Identity.generate(COORDINATOR)
    new = world.identity.public.fingerprint
    with pytest.raises(ConfigurationError, match="peers accept coordinator") as refused:
        world.restart_participant("shop-0")
    assert new in str(refused.value)
    tell_people(world, "shop-0", Word(accepted={COORDINATOR: new}))
    world.restart_participant("shop-0")
    state = world.participants["shop-0"].participant.state
    assert state.coordinator is None, "the old one is believed no longer"
    assert (state.pins, state.spends, state.models) == (before.pins, before.spends, {})


def test_pins_are_kept_and_only_ever_added_to_but_for_what_a_person_let_in() -> None:
    world = world_of()
    members = list(members_of(world).values())
    pins = update_pins({}, members, {})
    assert pins == {member.name: compute_fingerprint(member) for member in members}
    changed = [with_keys(members[1], Identity.generate(OTHER)), *members[2:]]
    assert update_pins(pins, changed, {}) == pins
    assert find_distrusted(pins, changed) == {OTHER: "changed"}
    let_in = update_pins(pins, changed, {OTHER: compute_fingerprint(changed[0]), "shop-2": "0" * 64})
    assert let_in == pins | {OTHER: compute_fingerprint(changed[0])}
    assert find_distrusted(let_in, changed) == {}


def test_what_people_say_is_kept_beside_what_the_participant_remembers() -> None:
    world = world_of()
    tell_people(world, "shop-0", Word(accepted={OTHER: "a" * 64}, left=True))
    world.run_rounds(1)
    word = load_word(world._stores["shop-0"], world.settings.name, "shop-0")
    assert (word.accepted, word.left) == ({OTHER: "a" * 64}, True)
    assert load_word(world._stores["shop-2"], world.settings.name, "shop-2") == Word()
