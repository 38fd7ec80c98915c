"""What a bad participant, a stranger or a replayed log may send: dropped, counted, in the ledger, and without effect."""

import json
from collections.abc import Callable

import pytest

from contract.federation.fields import CLOCK_TOLERANCE_MS
from contract.federation.messages import (
    Adoption,
    Failure,
    MaskedUpdate,
    MaskKeys,
    MaskShares,
    Message,
    Order,
    Refusal,
    RoundPlan,
    Unmasking,
    Update,
    Withdrawal,
)
from federation.messages import envelope
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.simulation.world import World
from federation.transports.ports import LogName, Outgoing
from support.federation_ledger import ledger_of
from support.federation_world import HIDDEN, small_settings, small_world


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    """`long`: models, updates and the coordinator's lists are of several records each."""
    hidden: tuple[int, ...] = HIDDEN
    if request.param == "long":
        hidden = (800,)
        monkeypatch.setattr(envelope, "PART_BYTES", 10_000)
        monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", 14_000)
    made = small_world(small_settings("masked"), 4, hidden=hidden)
    made.enrol_all()
    return made


def put(world: World, value: bytes, log: LogName = "updates") -> None:
    world.broker.take([Outgoing(log, b"mallory", value)], "mallory", exclusive=True)


def said(
    world: World, message: Message, *, by: Identity, name: str | None = None, round_number: int = 1, attempt: int = 0,
    sent_at_ms: int | None = None, log: LogName = "updates", sealed: bool = False, federation: str | None = None,
) -> None:  # fmt: skip
    signed = seal(
        message, by, federation=federation or world.settings.name, round_number=round_number, attempt=attempt,
        sent_at_ms=world.broker.now_ms if sent_at_ms is None else sent_at_ms, sender=name, epoch=world.state.epoch,
        reader=_coordinator(world) if sealed else None,
    )  # fmt: skip
    for record in to_records(signed, by):
        put(world, record, log)


def _coordinator(world: World):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return world.participants["shop-0"].participant.state.coordinator


def stage(world: World) -> str:
    attempt = world.coordinator.coordinator.attempt
    return "" if attempt is None else str(attempt.state.stage)


def begin_round(world: World) -> None:
    world.order(Order(action="run", rounds=1))
    world.coordinator.run_once(0.0)
    assert stage(world) == "keys"


def finish(world: World) -> None:
    world.run_until(lambda: world.state.rounds_wanted == 0 and world.coordinator.coordinator.attempt is None)


SHOP = "shop-0"

HOSTILE: dict[str, tuple[str, Callable[[World, Identity], None]]] = {
    "rubbish": ("malformed", lambda world, _: put(world, b"\x93\x01\x02")),
    "an empty record": ("malformed", lambda world, _: put(world, b"")),
    "a stranger's keys": ("unknown_sender", lambda world, mallory: said(world, MaskKeys(key=bytes(2464)), by=mallory)),
    "keys forged in another's name": (
        "unsigned",
        lambda world, mallory: said(world, MaskKeys(key=bytes(2464)), by=mallory, name=SHOP),
    ),
    "an order forged in the operator's name": (
        "unsigned",
        lambda world, mallory: said(world, Order(action="revoke", participant=SHOP), by=mallory, name="operator"),
    ),
    "an order from a participant": (
        "no_right",
        lambda world, _: said(world, Order(action="revoke", participant="shop-1"), by=world.identities[SHOP]),
    ),
    "a withdrawal forged": ("unsigned", lambda world, mallory: said(world, Withdrawal(), by=mallory, name=SHOP)),
    "keys of another federation": (
        "wrong_federation",
        lambda world, _: said(world, MaskKeys(key=bytes(2464)), by=world.identities[SHOP], federation="other"),
    ),
    "keys from the future": (
        "time",
        lambda world, _: said(
            world,
            MaskKeys(key=bytes(2464)),
            by=world.identities[SHOP],
            sent_at_ms=world.broker.now_ms + 2 * CLOCK_TOLERANCE_MS,
        ),
    ),
    "keys of a round that comes later": (
        "wrong_round",
        lambda world, _: said(world, MaskKeys(key=bytes(2464)), by=world.identities[SHOP], round_number=2),
    ),
    "keys of an attempt that never was": (
        "wrong_round",
        lambda world, _: said(world, MaskKeys(key=bytes(2464)), by=world.identities[SHOP], attempt=3),
    ),
    "shares before keys": (
        "wrong_stage",
        lambda world, _: said(world, MaskShares(shares=()), by=world.identities[SHOP]),
    ),
    "a masked update before its stage": (
        "wrong_stage",
        lambda world, _: said(world, MaskedUpdate(payload=bytes(10)), by=world.identities[SHOP]),
    ),
    "shares of others before their stage": (
        "wrong_stage",
        lambda world, _: said(world, Unmasking(survivors_shares={}, dropped_shares={}), by=world.identities[SHOP]),
    ),
    "a clear update in mode masked": (
        "wrong_stage",
        lambda world, _: said(world, Update(payload=b"", examples=1, frauds=0, metrics={}), by=world.identities[SHOP]),
    ),
    "keys of a wrong length": (
        "refused",
        lambda world, _: said(world, MaskKeys(key=bytes(100)), by=world.identities[SHOP]),
    ),
    "what only the coordinator says": (
        "no_right",
        lambda world, _: said(world, Failure(reason="stop", final=True), by=world.identities[SHOP]),
    ),
    "a model that does not exist is adopted": (
        "refused",
        lambda world, _: said(
            world, Adoption(model_version=99, decision="global", metrics={}), by=world.identities[SHOP], sealed=True
        ),
    ),
}


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.replace(" ", "-"))
def test_it_is_dropped_counted_ledgered_and_harmless(world: World, case: str) -> None:
    reason, attack = HOSTILE[case]
    begin_round(world)
    attack(world, Identity.generate("mallory"))
    before = dict(world.drops)
    world.coordinator.run_once(0.0)
    assert world.drops.get(reason, 0) == before.get(reason, 0) + 1, world.drops
    finish(world)
    assert world.state.model.version == 1
    assert len(world.state.list_approved()) == 4
    dropped = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "dropped"]
    assert sum(counts.get(reason, 0) for counts in dropped) >= 1


def test_a_replayed_log_of_a_whole_round_changes_nothing(world: World) -> None:
    world.run_rounds(1)
    model = world.state.model
    for record in list(world.broker.read("updates", 0, 100_000)):
        put(world, record.value)
    world.coordinator.run_once(0.0)
    finish(world)
    assert world.state.model == model
    assert world.state.rounds_wanted == 0
    assert [member.status for member in world.state.list_approved()] == ["approved"] * 4
    world.run_rounds(1)
    assert world.state.model.version == 2


def test_a_long_message_that_nobody_announced_is_not_kept(world: World) -> None:
    begin_round(world)
    vector = MaskedUpdate(payload=bytes(2_000_000))
    records = to_records(
        seal(vector, Identity.generate("mallory"), federation=world.settings.name, sent_at_ms=world.broker.now_ms),
        Identity.generate("mallory"),
    )
    assert len(records) > 2
    for record in records:
        put(world, record)
    world.coordinator.run_once(0.0)
    assert world.drops == {"oversized": 1, "parts": len(records) - 1}
    finish(world)
    assert world.state.model.version == 1


def test_requests_to_take_part_fill_no_more_than_their_place(world: World) -> None:
    from contract.federation.messages import EnrolmentRequest

    limit = 3
    settings = world.settings.model_copy(
        update={"coordinator": world.settings.coordinator.model_copy(update={"enrolments_max": limit})}
    )
    small = small_world(settings, 2)
    for number in range(6):
        stranger = Identity.generate(f"stranger-{number}")
        keys = stranger.public
        request = EnrolmentRequest(signing_key=keys.signing_key, sealing_key=keys.sealing_key, allow_robust=False)
        small.advance(1)
        said(small, request, by=stranger)
    small.coordinator.run_once(0.0)
    assert sorted(one.name for one in small.state.waiting.values()) == ["stranger-3", "stranger-4", "stranger-5"]
    assert [entry.kind for entry in ledger_of(small)] == ["claim", "global_model"], "a request alone is not ledgered"


def test_participants_believe_nobody_but_the_coordinator_of_the_fingerprint(world: World) -> None:
    begin_round(world)
    mallory = Identity.generate("coordinator")
    plan = world.coordinator.coordinator.attempt
    assert plan is not None
    from msgspec.structs import replace

    from contract.federation.messages import Claim

    claim = Claim(instance="x", signing_key=mallory.public.signing_key, sealing_key=mallory.public.sealing_key)
    said(world, claim, by=mallory, log="control")
    forged: RoundPlan = replace(plan.plan, round=9)
    said(world, forged, by=mallory, log="control", round_number=9)
    said(world, Failure(reason="stop", final=True), by=mallory, log="control", attempt=0)
    finish(world)
    assert world.state.model.version == 1
    assert all(one.participant.dropped.get("unsigned", 0) == 3 for one in world.participants.values())


def test_a_participant_that_refuses_is_not_waited_for_and_says_why(world: World) -> None:
    begin_round(world)
    world.participants.pop("shop-3")
    said(world, Refusal(reason="data"), by=world.identities["shop-3"], sealed=True)
    finish(world)
    assert world.state.model.version == 1
    closed = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "key_list"]
    assert closed[0]["refused"] == {"shop-3": "data"}


def test_a_robust_update_sent_in_the_clear_is_not_used() -> None:
    world = small_world(small_settings("robust"), 4)
    world.enrol_all()
    world.order(Order(action="run", rounds=1))
    world.coordinator.run_once(0.0)
    update = Update(payload=bytes(4), examples=10, frauds=1, metrics={})
    said(world, update, by=world.identities[SHOP])
    said(world, update, by=world.identities[SHOP], sealed=True)
    world.coordinator.run_once(0.0)
    assert world.drops == {"refused": 2}
    finish(world)
    assert world.state.model.version == 1
