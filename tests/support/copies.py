"""A stranger who appends again what a coordinator signed, and what a coordinator that starts then knows."""

import copy
from collections.abc import Callable, Sequence

import msgspec

from federation.audit.history import History, LogReader
from federation.coordinator.process import CoordinatorProcess
from federation.coordinator.state import CoordinatorState
from federation.messages.inbox import Inbox
from federation.participant.participant import HEARD, Participant
from federation.simulation.world import World
from federation.store import MemoryStore
from federation.transports.memory import MemoryBroker, MemoryTransport
from federation.transports.ports import LogName, Outgoing, Record
from support.federation_world import HIDDEN, asking, small_settings, small_world, until_stage

OWN: tuple[LogName, ...] = ("control", "models", "ledger")


def made(mode: str, hidden: tuple[int, ...] = HIDDEN, *, rounds: int = 2) -> World:
    """In mode robust models of participants are shown, so that control has messages beyond those of rounds."""
    options = {"cross_site_every": 1, "calibration_every": 0} if mode == "robust" else {}
    world = small_world(asking(small_settings(mode, **options), cross_site=mode == "robust"), 4, hidden=hidden)
    world.enrol_all()
    world.run_rounds(rounds)
    world.run_until(lambda: True)
    return world


def under_way(world: World, mode: str) -> World:
    """In the last stage of an attempt that nobody has answered."""
    world.order_rounds(1)
    until_stage(world, "unmasking" if mode == "masked" else "updates")
    return world


def records_of(world: World, logs: Sequence[LogName] = OWN) -> list[Record]:
    return [record for log in logs for record in world.broker.read(log, 0, 1_000_000)]


def again(broker: MemoryBroker, records: Sequence[Record | Outgoing]) -> None:
    broker.take([Outgoing(record.log, record.key, record.value) for record in records], "stranger", exclusive=True)


def recalled(world: World, appended: Sequence[Record | Outgoing] = (), *, checkpoint: bool) -> object:
    """What a coordinator knows that starts now, after somebody appended these."""
    broker = copy.deepcopy(world.broker)
    del broker._logs["updates"][world.coordinator._positions["updates"] :]
    again(broker, appended)
    transport = MemoryTransport(broker, "coordinator", exclusive=True)
    process = CoordinatorProcess(
        world.identity,
        world.settings.name,
        transport,
        copy.deepcopy(world.store) if checkpoint else MemoryStore(),
        world.clock,
        initial=CoordinatorState(model=world._model),
        assemble=world._assemble,
    )
    process._recall()
    # What came after the newest decision is read as always.
    while records := transport.poll(0.0):
        for record in records:
            process._absorb(record)
    return known(process)


def known(process: CoordinatorProcess) -> object:
    coordinator = process.coordinator
    attempt = coordinator.attempt
    return msgspec.to_builtins(coordinator.state), attempt and (attempt.plan, attempt.state)


def told(world: World) -> History:
    transport = MemoryTransport(world.broker, "reader")
    return LogReader(transport, world.settings.name, world.identity.public.fingerprint).read()


def meddle(world: World, mingled: Callable[[Sequence[Outgoing]], list[Outgoing]]) -> None:
    transport = world.coordinator.transport
    append = transport.append
    transport.append = lambda records: append(mingled(records))  # type: ignore[method-assign]


def copied_participant(world: World, name: str) -> Participant:
    """As it stands in the attempt under way, to be spoiled; it has said and dropped nothing."""
    participant = copy.copy(world.participants[name].participant)
    participant.state = copy.deepcopy(participant.state)
    participant.outbox, participant.dropped = [], {}
    participant.updates = copy.copy(participant.updates)
    masked = participant.updates._masked = copy.copy(participant.updates._masked)
    if masked is not None:
        masked.member = copy.copy(masked.member)
    participant._inboxes = {log: Inbox(world.settings.name, world.identities[name], log=log) for log in HEARD}
    return participant
