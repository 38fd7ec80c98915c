"""A coordinator that turned bad: it has the federation's real keys, and says to participants whatever a test wants."""

from collections.abc import Sequence

from msgspec.structs import replace

from contract.federation import Envelope, Message, RoundPlan
from federation.envelope import Inbox, Opened, seal, to_records
from federation.identity import PublicIdentity
from federation.planning import RoundPlanning
from federation.simulated_world import World
from federation.transports.ports import Outgoing


def next_plan(world: World, **changes: object) -> RoundPlan:
    """What the honest coordinator would plan next, with `changes`."""
    state = replace(world.state, rounds_wanted=1)
    plan = RoundPlanning(world.settings).plan(state, world.broker.now_ms)
    assert isinstance(plan, RoundPlan)
    return replace(plan, **changes)


def tell(world: World, message: Message, plan: RoundPlan) -> None:
    """Under the real coordinator's signature, to everybody, as part of the plan's attempt; participants hear it at once."""
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
        world.broker.take(Outgoing("control", b"coordinator", record), "coordinator", exclusive=True)
    world.participants_turn()


class Ear:
    """Reads what participants answer, each answer once; opens what is sealed to the coordinator."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inbox = Inbox(world.settings.name, world.identity)
        self._position = world.broker.bounds("updates")[1]

    def answers(self) -> list[Opened]:
        """What came since the last time."""
        world = self._world
        records = world.broker.read("updates", self._position, 10_000)
        self._position += len(records)
        found = [self._inbox.take(record.value, roster=self._known, now_ms=record.appended_ms) for record in records]
        return [opened for opened in found if opened is not None]

    def _known(self, name: str) -> PublicIdentity | None:
        return self._world.identities.get(name, self._world.identity).public


def said_by(answers: Sequence[Opened], name: str) -> list[Message]:
    """What `name` said."""
    return [opened.message for opened in answers if opened.envelope.sender == name]


def types_of(answers: Sequence[Opened]) -> set[str]:
    """The types of all messages."""
    headings: list[Envelope] = [opened.envelope for opened in answers]
    return {heading.type for heading in headings}
