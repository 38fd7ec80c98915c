"""The audit ledger of a simulated federation."""

from contract.federation.messages import LedgerEntry
from federation.messages.inbox import Inbox
from federation.simulation.world import World


def ledger_of(world: World) -> list[LedgerEntry]:
    """Every entry, its signature checked."""
    inbox = Inbox(world.settings.name, world.identity, log="ledger")
    return [
        opened.message
        for record in world.broker.read("ledger", 0, 100_000)
        for opened in inbox.take(record.value, roster=lambda _: world.identity.public, now_ms=record.appended_ms)
        if isinstance(opened.message, LedgerEntry)
    ]
