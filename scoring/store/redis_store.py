"""The window store on Redis: window updates in, aggregates out, one atomic script per window update, many in flight."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import hiredis

from contract.errors import InvariantError
from contract.settings import RedisSettings
from scoring.ports import Applied, Finding, StoreUnavailableError, WindowUpdate
from scoring.store.client import build_client_name, find_passing_error
from scoring.store.coverage import CoverageNotes
from scoring.store.keys import Keys
from scoring.store.link import RedisLink, encode_command
from scoring.store.outcomes import OutcomePacker
from scoring.store.scripts import compute_sha1, load_script
from scoring.store.window_updates import Bounds, ReplyReader, WindowUpdatePacker

LOADED = 2
"""Scripts that are loaded on a new connection."""
_LOAD_ATTEMPTS_MAX = 3

T = TypeVar("T")


class _Sent:
    """Commands that were written under one connection, and their replies, which arrive in the order of writing."""

    def __init__(self, commands: list[bytes], count: int, generation: int) -> None:
        self.commands = commands
        self.count = count
        """Of replies."""
        self.generation = generation
        self.replies: list[Any] = []


class RedisTicket(Generic[T]):
    """What was sent, on its way; `RedisStore` makes it."""

    def __init__(self, collect: Callable[[float], T]) -> None:
        self._collect = collect

    def wait(self, timeout_s: float) -> T:
        """The answer, as the ports say."""
        return self._collect(timeout_s)


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
        text, outcome = load_script("windows"), load_script("outcome")
        self._load = b"".join(encode_command(b"SCRIPT", b"LOAD", each.encode()) for each in (text, outcome))
        self._link = RedisLink(
            settings.to_redis_py() | {"client_name": build_client_name()},
            self._load,
            LOADED,
            connect_wait_s=connect_wait_s,
        )
        self._packer = WindowUpdatePacker(keys, compute_sha1(text), bounds)
        self._outcomes = OutcomePacker(keys, compute_sha1(outcome), bounds)
        self._reader = ReplyReader()
        self._notes = CoverageNotes(keys)
        self._wall_s = wall_s
        self._expected: deque[_Sent] = deque()
        self._generation = self._link.generation

    def send(
        self,
        window_updates: Sequence[WindowUpdate],
        model_version: str,
        rules_version: str,
        others: Mapping[int, str] | None = None,
    ) -> RedisTicket[Applied]:
        """Writes a batch without waiting, as the port says."""
        now_s = int(self._wall_s())
        shared = self._packer.pack_shared(now_s, model_version, rules_version)
        if others:
            shares = {
                version: self._packer.pack_shared(now_s, version, rules_version) for version in set(others.values())
            }
            commands = self._packer.pack_apart(
                window_updates, shared, {row: shares[version] for row, version in others.items()}
            )
        else:
            commands = self._packer.pack(window_updates, shared)
        notes, earliest_ms = self._notes.encode_updates(window_updates)
        commands += notes
        sent, count = self._post(commands), len(window_updates)

        def collect(timeout_s: float) -> Applied:
            answers = self._wait_for(sent, timeout_s)
            self._notes.confirm(earliest_ms)
            return self._reader.read_replies(answers[:count])

        return RedisTicket(collect)

    def learn(self, findings: Sequence[Finding]) -> RedisTicket[int]:
        """Sends what became known, between the window updates sent before and after it, without waiting; raises StoreUnavailableError.

        Idempotent by transaction_id: what is known already changes nothing.
        """
        commands = self._outcomes.pack(findings) + self._notes.encode_findings(findings)
        sent, count = self._post(commands), len(findings)
        return RedisTicket(lambda timeout_s: sum(self._wait_for(sent, timeout_s)[:count]))

    def _wait_for(self, sent: _Sent, timeout_s: float) -> list[Any]:
        """Reads until the replies are there; those of what was sent earlier are kept for their tickets."""
        deadline_s = time.monotonic() + timeout_s
        self._read(sent, deadline_s)
        replies = sent.replies
        for _ in range(_LOAD_ATTEMPTS_MAX):
            missing = [i for i, reply in enumerate(replies) if _is_error(reply, "NOSCRIPT")]
            if not missing:
                break
            again = self._post([self._load, *(sent.commands[i] for i in missing)], LOADED - 1)
            self._read(again, deadline_s)
            for i, reply in zip(missing, again.replies[LOADED:], strict=True):
                replies[i] = reply
        self._refuse(replies)
        return replies

    def close(self) -> None:
        """Ends the connection; tickets still open are lost."""
        self._link.close()

    def _post(self, commands: list[bytes], more_replies: int = 0) -> _Sent:
        self._link.send(b"".join(commands))
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._expected.clear()
        sent = _Sent(commands, len(commands) + more_replies, self._generation)
        self._expected.append(sent)
        return sent

    def _read(self, sent: _Sent, deadline_s: float) -> None:
        if len(sent.replies) == sent.count:
            return
        while self._expected:
            if sent.generation != self._link.generation:
                break
            first = self._expected[0]
            self._link.read(first.count, first.replies, deadline_s)
            self._expected.popleft()
            if first is sent:
                return
        raise StoreUnavailableError("the connection to the store was lost")

    def _refuse(self, replies: list[Any]) -> None:
        """Raises for the first error among the replies, if any."""
        error = next((reply for reply in replies if isinstance(reply, hiredis.ReplyError)), None)
        if error is None:
            return
        text = str(error)
        if kind := find_passing_error(text):
            raised = self._link.drop(error)
            if kind == "MOVED":
                self._link.follow(text)
            raise raised
        raise InvariantError(f"the store's script failed: {text[:200]}")


def _is_error(reply: object, word: str) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(word)
