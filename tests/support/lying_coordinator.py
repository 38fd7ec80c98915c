"""A coordinator that turned bad: it has the federation's real keys, and says to participants whatever a test wants."""

from collections.abc import Sequence

from msgspec.structs import replace

from contract.federation.messages import (
    KeyList,
    MaskedUpdate,
    MaskKeys,
    MaskShares,
    Message,
    RoundPlan,
    ShareList,
    SurvivorList,
)
from federation.coordinator.planning import RoundPlanning
from federation.messages.envelope import Opened, seal, to_records
from federation.messages.identity import PublicIdentity
from federation.messages.inbox import Inbox
from federation.secagg.coordinator_side import MaskingCoordinator
from federation.secagg.masked_sum import build_masking_plan
from federation.simulation.world import World
from federation.transports.ports import Outgoing


def next_plan(world: World, **changes: object) -> RoundPlan:
    """What the honest coordinator would plan next, with `changes`."""
    state = replace(world.state, rounds_wanted=1)
    plan = RoundPlanning(world.settings).plan(state, world.broker.now_ms)
    assert isinstance(plan, RoundPlan)
    return replace(plan, **changes)


def tell(world: World, message: Message, plan: RoundPlan) -> None:
    """Under the real coordinator's signature, to everybody, as part of the plan's attempt; participants hear it at once."""
    write(world, message, plan)
    world.take_participants_turn()


def write(world: World, message: Message, plan: RoundPlan) -> None:
    """Likewise, onto the log; nobody has read it yet."""
    world.advance(1)
    signed = seal(
        message,
        world.identity,
        federation=world.settings.name,
        round_number=plan.round,
        attempt=plan.attempt,
        sent_at_ms=world.broker.now_ms,
        epoch=world.state.epoch,
    )
    for record in to_records(signed, world.identity):
        world.broker.take([Outgoing("control", b"coordinator", record)], "coordinator", exclusive=True)


class Ear:
    """Reads what participants answer, each answer once; opens what is sealed to the coordinator."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inbox = Inbox(world.settings.name, world.identity)
        self._position = world.broker.find_bounds("updates")[1]

    def answers(self) -> list[Opened]:
        """What came since the last time."""
        world = self._world
        records = world.broker.read("updates", self._position, 10_000)
        self._position += len(records)
        return [
            opened
            for record in records
            for opened in self._inbox.take(record.value, roster=self._known, now_ms=record.appended_ms)
        ]

    def _known(self, name: str) -> PublicIdentity | None:
        return self._world.identities.get(name, self._world.identity).public


class Conversation:
    """One masked attempt, led honestly up to a stage; `due` is what the honest coordinator would say next."""

    def __init__(self, world: World, stage: str) -> None:
        """`stage`: whose answers are the last that came: keys, shares or updates."""
        self.world = world
        self.plan = next_plan(world)
        self.ear = Ear(world)
        self._masking = MaskingCoordinator(build_masking_plan(world.settings.name, self.plan))
        tell(world, self.plan, self.plan)
        self.due: KeyList | ShareList | SurvivorList = self._closed("keys")
        for each in ("shares", "updates")[: ("keys", "shares", "updates").index(stage)]:
            tell(world, self.due, self.plan)
            self.due = self._closed(each)

    def tell(self, message: Message) -> list[Message]:
        """Says it as part of the attempt; gives what the first of the cohort answers."""
        return self.tell_all(message)[self.plan.cohort[0]]

    def tell_all(self, message: Message) -> dict[str, list[Message]]:
        """Likewise; gives what each of the cohort answers."""
        tell(self.world, message, self.plan)
        answers = self.ear.answers()
        return {name: said_by(answers, name) for name in self.plan.cohort}

    def _closed(self, stage: str) -> KeyList | ShareList | SurvivorList:
        masking, cohort = self._masking, self.plan.cohort
        for opened in self.ear.answers():
            message, sender = opened.message, opened.envelope.sender
            if isinstance(message, MaskKeys):
                masking.take_keys(sender, message, opened.signed)
            elif isinstance(message, MaskShares):
                masking.take_shares(sender, message, opened.signed)
            elif isinstance(message, MaskedUpdate):
                masking.take_update(sender, message)
        if stage == "keys":
            return masking.close_keys(cohort)
        return masking.close_shares(cohort) if stage == "shares" else masking.close_updates(cohort)


def said_by(answers: Sequence[Opened], name: str) -> list[Message]:
    """What `name` said."""
    return [opened.message for opened in answers if opened.envelope.sender == name]


def types_of(answers: Sequence[Opened]) -> set[str]:
    """The types of all messages."""
    return {opened.envelope.type for opened in answers}
