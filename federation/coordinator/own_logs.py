"""A coordinator's reading of its own three logs, from a checkpoint on; whatever is not its own there is passed over."""

from collections.abc import Mapping

import msgspec

from contract.federation.fields import COORDINATOR
from federation.coordinator.journal import Journal
from federation.messages.envelope import Opened
from federation.messages.foreign import translate_foreign_errors
from federation.messages.identity import Identity, PublicIdentity
from federation.messages.inbox import Inbox
from federation.refusals import FederationRefusedError
from federation.transports.ports import LogName, Record, Transport

OWN: tuple[LogName, ...] = ("control", "models", "ledger")
RECOVERY_POLL_S = 1.0


class OwnLogs:
    """Read to their present end as often as wanted. Used by one thread; takes over what `transport` reads."""

    def __init__(
        self, identity: Identity, federation: str, transport: Transport, positions: Mapping[LogName, int], epoch: int
    ) -> None:
        """`epoch`: the coordinator's at `positions`."""
        self.journal = Journal(epoch)
        self.positions = {log: positions[log] for log in OWN}
        self.said_ms = 0
        """When the newest message was sent."""
        self._speaker = msgspec.structs.replace(identity.public, name=COORDINATOR)
        self._transport = transport
        self._inboxes = {log: Inbox(federation, identity, log=log, any_time=True) for log in OWN}

    def read(self) -> None:
        """Raises TransientError, PositionDeadError."""
        transport = self._transport
        ends = {log: transport.find_bounds(log)[1] for log in OWN}
        transport.read_from(self.positions)
        while not all(transport.has_caught_up(log, end) for log, end in ends.items()):
            for record in transport.poll(RECOVERY_POLL_S):
                self.positions[record.log] = record.offset + 1
                for opened in self._opened(record):
                    self.said_ms = max(self.said_ms, opened.envelope.sent_at_ms)
                    self.journal.take(record.log, opened)
        self.positions = {log: max(self.positions[log], ends[log]) for log in OWN}

    def _opened(self, record: Record) -> list[Opened]:
        """The coordinator's own messages; anything else on its logs is somebody's rubbish."""
        try:
            with translate_foreign_errors():
                found = self._inboxes[record.log].take(record.value, roster=self._roster, now_ms=record.appended_ms)
        except FederationRefusedError:
            return []
        return [
            opened
            for opened in found
            if opened.sender.signing_key == self._speaker.signing_key and opened.envelope.sender == COORDINATOR
        ]

    def _roster(self, name: str) -> PublicIdentity | None:
        return self._speaker if name == COORDINATOR else None
