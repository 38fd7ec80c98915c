"""The coordinator's thin shell: logs in, decisions out, a checkpoint at quiet moments.

Everything that belongs to one decision is appended in one transaction, and applied only when it stands. After any error of
the transport the object is thrown away: a new one recovers from the logs.
"""

import secrets
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from contract.clock import Clock
from contract.errors import InvariantError, PositionDeadError
from contract.federation.fields import CLOCK_TOLERANCE_MS, COORDINATOR
from contract.federation.messages import LedgerEntry, Step
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.journal import Decision, Followed
from federation.coordinator.own_logs import OWN, RECOVERY_POLL_S, OwnLogs
from federation.coordinator.reconciliation import find_unpaid
from federation.coordinator.recording import Say
from federation.coordinator.state import CoordinatorState
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.store import Checkpoint, Store
from federation.transports.log_clock import LogClock
from federation.transports.ports import LOGS, LogName, Outgoing, Record, Transport

_LOG = structlog.get_logger()


def name_coordinator_owner(federation: str) -> str:
    """Under what its checkpoint is stored."""
    return f"coordinator/{federation}"


class CoordinatorProcess:
    """One running coordinator. Used by one thread."""

    def __init__(
        self,
        identity: Identity,
        federation: str,
        transport: Transport,
        store: Store,
        clock: Clock,
        *,
        initial: CoordinatorState,
        assemble: Callable[[CoordinatorState], Coordinator],
        instance: str | None = None,
    ) -> None:
        """`transport` is an exclusive writer; `initial` is the state of a federation in which nothing was said yet."""
        self._identity = identity
        self._federation = federation
        self.transport = transport
        self._store = store
        self._time = LogClock(clock, transport, COORDINATOR.encode())
        self._assemble = assemble
        self._instance = instance or secrets.token_hex(8)
        self._positions: dict[LogName, int] = dict.fromkeys(LOGS, 0)
        self._said_ms = 0
        """Time of the newest decision."""
        self.bytes_told = 0
        """Appended by this process; every participant reads them."""
        self.coordinator = assemble(initial)

    def recover(self) -> None:
        """Called once, first: becomes what the logs say, takes up what was under way, and says that it is here.

        Raises ConfigurationError where this machine's clock is away from the broker's, and says nothing then. Raises TransientError, FencedError, PositionDeadError where the logs no longer reach back to the checkpoint,
        InvariantError where records are lost that counted.
        """
        own = self._recall()
        self._said_ms = self._not_ahead(self._said_ms)
        now_ms = self._now()
        self._say(self.coordinator.start(self._instance, now_ms), now_ms, epoch=own.journal.epoch + 1)
        self._make_good(own)
        self._checkpoint()
        self._decide()

    def _make_good(self, own: OwnLogs) -> None:
        """From the claim on nobody follows an earlier epoch, so only now is it known what was followed.

        No checkpoint is written before: a coordinator that is killed in between must read it again.
        """
        own.read()
        self._said_ms = max(self._said_ms, self._not_ahead(own.said_ms))
        self.transport.read_from({"updates": self._positions["updates"]})
        followed, now_ms = self._unpaid(own), self._now()
        said = self.coordinator.reconcile(followed, now_ms)
        if said:
            _LOG.warning(
                "unfinished_decision_made_good", plan=followed.plan is not None, roster=followed.roster_version
            )
            self._say(said, now_ms, epoch=self.coordinator.state.epoch)

    def _unpaid(self, own: OwnLogs) -> Followed:
        coordinator = self.coordinator
        return find_unpaid(own.journal, coordinator.state, under_way=coordinator.attempt is not None)

    def _recall(self) -> OwnLogs:
        """Becomes what checkpoint and logs say; says nothing."""
        checkpoint = self._store.load(name_coordinator_owner(self._federation))
        if checkpoint is not None:
            state = msgspec.msgpack.decode(checkpoint.state, type=CoordinatorState)
            self.coordinator = self._assemble(state)
            self._positions = dict.fromkeys(LOGS, 0) | dict(checkpoint.positions)
            self._said_ms = checkpoint.saved_ms
        elif any(self.transport.find_bounds(log)[0] > 0 for log in ("control", "updates", "ledger")):
            raise PositionDeadError(
                "there is no checkpoint, and the logs no longer go back to the beginning: restore the coordinator's database"
            )
        state = self.coordinator.state
        own = OwnLogs(self._identity, self._federation, self.transport, self._positions, state.epoch)
        own.read()
        self._positions |= own.positions
        self._said_ms = max(self._said_ms, own.said_ms)
        self._replay(own.journal.read_decisions(state.ledger, state.epoch))
        self._unpaid(own)
        if own.journal.dropped:
            _LOG.warning("unfinished_decision_dropped", messages=own.journal.dropped)
            self.coordinator.note_unfinished(own.journal.dropped)
        return own

    def run_once(self, timeout_s: float) -> int:
        """Called again and again: reads what came and does what is due; returns how many records it read.

        Waits up to `timeout_s` for the first. Raises TransientError, FencedError.
        """
        records = self.transport.poll(timeout_s)
        for record in records:
            if record.log == "updates":
                self._absorb(record)
                self._decide()
        self._decide()
        return len(records)

    def _absorb(self, record: Record) -> None:
        self.coordinator.handle_record(record)
        self._positions["updates"] = record.offset + 1

    def _decide(self) -> None:
        # An attempt has some ten decisions; a rule that never ends would be a defect.
        for _ in range(100):
            now_ms = self._now()
            said = self.coordinator.decide(now_ms)
            if not said:
                return
            self._commit(said, now_ms, epoch=self.coordinator.state.epoch)
        raise InvariantError("the coordinator's decisions do not come to an end")

    def _commit(self, said: list[Say], now_ms: int, *, epoch: int) -> None:
        self._say(said, now_ms, epoch=epoch)
        self._checkpoint()

    def _say(self, said: list[Say], now_ms: int, *, epoch: int) -> None:
        entries = sum(isinstance(say.message, LedgerEntry) for say in said)
        if entries == 0:
            raise InvariantError("a decision without an entry in the ledger has no place among the others")
        self._said_ms = now_ms
        step = Step(
            updates_offset=self._positions["updates"],
            ledger_index=self.coordinator.state.ledger.following + entries,
        )
        outgoing = [
            Outgoing(say.log, _key(say), record)
            for say in (Say("control", step), *said)
            for record in self._records(say, now_ms, epoch)
        ]
        self.transport.append(outgoing)
        self.bytes_told += sum(len(each.value) for each in outgoing)
        for say in said:
            self.coordinator.apply(say, epoch, now_ms)

    def _records(self, say: Say, now_ms: int, epoch: int) -> list[bytes]:
        signed = seal(
            say.message,
            self._identity,
            federation=self._federation,
            round_number=say.round,
            attempt=say.attempt,
            sent_at_ms=now_ms,
            epoch=epoch,
            sender=COORDINATOR,
        )
        return to_records(signed, self._identity)

    def _checkpoint(self) -> None:
        """As of the newest decision, where nothing is under way."""
        if not self.coordinator.quiet:
            return
        for log in OWN:
            self._positions[log] = self.transport.find_bounds(log)[1]
        state = msgspec.msgpack.encode(self.coordinator.state)
        self._store.save(
            name_coordinator_owner(self._federation), Checkpoint(dict(self._positions), state, self._said_ms)
        )

    def _replay(self, decisions: list[Decision]) -> None:
        """The same handlers over the same logs: each decision sees those messages that it saw then."""
        self.transport.read_from({"updates": self._positions["updates"]})
        end = self.transport.find_bounds("updates")[1]
        waiting: deque[Record] = deque()
        for decision in decisions:
            while self._positions["updates"] < decision.step.updates_offset:
                if not waiting:
                    waiting.extend(self.transport.poll(RECOVERY_POLL_S))
                    if not waiting and self.transport.has_caught_up("updates", end):
                        break
                    continue
                if waiting[0].offset >= decision.step.updates_offset:
                    break
                self._absorb(waiting.popleft())
            for say in decision.said:
                self.coordinator.apply(say, decision.epoch, decision.at_ms)
        for record in waiting:
            self._absorb(record)

    def _now(self) -> int:
        """The clock, but later than the decision before: by epoch and time it is told what belongs to which."""
        return max(self._said_ms + 1, self._time.now_ms())

    def _not_ahead(self, said_ms: int) -> int:
        """When something was said last; 0 where that lies in the future, since its coordinator's clock was ahead.

        What is said from here on is of an epoch of its own, so it need not be later, and it must not: nobody would believe it.
        """
        return said_ms if said_ms <= self._time.now_ms() + CLOCK_TOLERANCE_MS else 0


def _key(say: Say) -> bytes:
    if isinstance(say.message, LedgerEntry):
        return str(say.message.index).encode()
    return COORDINATOR.encode()
