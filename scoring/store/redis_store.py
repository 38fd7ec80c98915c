"""The window store on Redis: window updates in, aggregates out, one atomic script per window update, many in flight."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hiredis

from contract.errors import InvariantError
from contract.settings import RedisSettings
from scoring.ports import Applied, Finding, StoreUnavailableError, WindowUpdate
from scoring.store.client import client_name, passing_error
from scoring.store.coverage import CoverageNotes
from scoring.store.keys import Keys
from scoring.store.link import RedisLink, command
from scoring.store.outcomes import OutcomePacker
from scoring.store.scripts import script, sha1
from scoring.store.window_updates import Bounds, ReplyReader, WindowUpdatePacker

LOADED = 2
"""Scripts that are loaded on a new connection."""
_LOAD_ATTEMPTS_MAX = 3


class _Pending:
    """Replies that one write expects; they arrive in the order of writing."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[Any] = []


class RedisTicket:
    """A batch on its way; `RedisStore.send` makes it."""

    def __init__(  # noqa: PLR0917 - one record of what was sent
        self,
        store: "RedisStore",
        commands: list[bytes],
        pending: _Pending,
        generation: int,
        window_updates: int,
        earliest_ms: int | None,
    ) -> None:
        self._store = store
        self.commands = commands
        self.pending = pending
        self.generation = generation
        self.window_updates = window_updates
        """How many of the commands are window updates; they come first."""
        self.earliest_ms = earliest_ms
        """What the command after them notes, if there is one."""

    def wait(self, timeout_s: float) -> Applied:
        """The answer, as the port says."""
        return self._store.collect(self, timeout_s)


class OutcomeTicket:
    """Outcomes on their way; `RedisStore.learn` makes it."""

    def __init__(
        self, store: "RedisStore", commands: list[bytes], pending: _Pending, generation: int, findings: int
    ) -> None:
        self._store = store
        self.commands = commands
        self.pending = pending
        self.generation = generation
        self.findings = findings
        """How many of the commands are outcomes; they come first."""

    def wait(self, timeout_s: float) -> int:
        """How many were new; blocks at most `timeout_s`, raises StoreUnavailableError (sending again is safe)."""
        return self._store.learned(self, timeout_s)


class RedisStore:
    """WindowStore on Redis (scoring/ports.py); one connection, used by one thread.

    `keys` keep a replay apart from the live windows. `connect_wait_s` is RedisLink's: a worker gives its time budget, a replay waits.
    """

    def __init__(
        self,
        settings: RedisSettings,
        keys: Keys,
        bounds: Bounds,
        *,
        wall_s: Callable[[], float] = time.time,
        connect_wait_s: float | None = None,
    ) -> None:
        if not 2 <= bounds.max_events <= 65_535 or not 1 <= bounds.max_counterparts <= 250:
            raise ValueError("max_events is 2 to 65535, max_counterparts 1 to 250")
        text, outcome = script("windows"), script("outcome")
        self._load = b"".join(command(b"SCRIPT", b"LOAD", each.encode()) for each in (text, outcome))
        self._link = RedisLink(
            settings.redis_py() | {"client_name": client_name()},
            self._load,
            LOADED,
            connect_wait_s=connect_wait_s,
        )
        self._packer = WindowUpdatePacker(keys, sha1(text), bounds)
        self._outcomes = OutcomePacker(keys, sha1(outcome), bounds)
        self._reader = ReplyReader()
        self._notes = CoverageNotes(keys)
        self._wall_s = wall_s
        self._expected: deque[_Pending] = deque()
        self._generation = self._link.generation

    def send(
        self,
        window_updates: Sequence[WindowUpdate],
        model_version: str,
        rules_version: str,
        others: Mapping[int, str] | None = None,
    ) -> RedisTicket:
        """Writes a batch without waiting, as the port says."""
        now_s = int(self._wall_s())
        shared = self._packer.shared(now_s, model_version, rules_version)
        if others:
            shares = {version: self._packer.shared(now_s, version, rules_version) for version in set(others.values())}
            commands = self._packer.pack_apart(
                window_updates, shared, {place: shares[version] for place, version in others.items()}
            )
        else:
            commands = self._packer.pack(window_updates, shared)
        notes, earliest_ms = self._notes.of_updates(window_updates)
        commands += notes
        pending = self._post(commands)
        return RedisTicket(self, commands, pending, self._generation, len(window_updates), earliest_ms)

    def collect(self, ticket: RedisTicket, timeout_s: float) -> Applied:
        """Reads until the ticket's replies are there; earlier tickets' replies are kept for them."""
        answers = self._answers(ticket.commands, ticket.pending, ticket.generation, timeout_s)
        self._notes.confirm(ticket.earliest_ms)
        return self._reader.applied(answers[: ticket.window_updates])

    def learn(self, findings: Sequence[Finding]) -> "OutcomeTicket":
        """Sends what became known, between the window updates sent before and after it, without waiting; raises StoreUnavailableError.

        Idempotent by transaction_id: what is known already changes nothing.
        """
        commands = self._outcomes.pack(findings) + self._notes.of_findings(findings)
        return OutcomeTicket(self, commands, self._post(commands), self._generation, len(findings))

    def learned(self, ticket: "OutcomeTicket", timeout_s: float) -> int:
        """How many of the ticket's outcomes were new, as OutcomeTicket.wait."""
        answers = self._answers(ticket.commands, ticket.pending, ticket.generation, timeout_s)
        return sum(answers[: ticket.findings])

    def _answers(self, commands: list[bytes], pending: _Pending, generation: int, timeout_s: float) -> list[Any]:
        deadline_s = time.monotonic() + timeout_s
        self._await(pending, generation, deadline_s)
        replies = pending.replies
        for _ in range(_LOAD_ATTEMPTS_MAX):
            missing = [i for i, reply in enumerate(replies) if _is_error(reply, "NOSCRIPT")]
            if not missing:
                break
            again = self._post([self._load, *(commands[i] for i in missing)], LOADED - 1)
            self._await(again, self._generation, deadline_s)
            for i, reply in zip(missing, again.replies[LOADED:], strict=True):
                replies[i] = reply
        self._refuse(replies)
        return replies

    def close(self) -> None:
        """Ends the connection; tickets still open are lost."""
        self._link.close()

    def _post(self, commands: list[bytes], more_replies: int = 0) -> _Pending:
        self._link.send(b"".join(commands))
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._expected.clear()
        pending = _Pending(len(commands) + more_replies)
        self._expected.append(pending)
        return pending

    def _await(self, pending: _Pending, generation: int, deadline_s: float) -> None:
        if len(pending.replies) == pending.count:
            return
        while self._expected:
            if generation != self._link.generation:
                break
            first = self._expected[0]
            self._link.read(first.count, first.replies, deadline_s)
            self._expected.popleft()
            if first is pending:
                return
        raise StoreUnavailableError("the connection to the store was lost")

    def _refuse(self, replies: list[Any]) -> None:
        """Raises for the first error among the replies, if any."""
        error = next((reply for reply in replies if isinstance(reply, hiredis.ReplyError)), None)
        if error is None:
            return
        text = str(error)
        if kind := passing_error(text):
            raised = self._link.failed(error)
            if kind == "MOVED":
                self._link.follow(text)
            raise raised
        raise InvariantError(f"the store's script failed: {text[:200]}")


def _is_error(reply: object, word: str) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(word)
