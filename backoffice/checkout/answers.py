"""Who waits for which answer. Verdicts and dead letters come in from the thread that reads topics, requests wait in the event loop.

The newest verdicts stay in memory, bounded, so that a question about one of them needs no database.
"""

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

RECENT_MAX = 20_000
"""Verdicts of some 700 bytes each."""
ASKED_MAX = 100_000
"""Ids of transactions that the door sent: known before the read model has heard of them."""


class _Head(msgspec.Struct):
    transaction_id: str
    revision: int
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class VerdictAnswer:
    """A verdict as it stands on the topic."""

    revision: int
    outcome: str | None
    document: bytes


@dataclass(frozen=True, slots=True)
class LetterAnswer:
    """A dead letter: the record at `source` and `position` could not be used."""

    source: str
    position: str
    reason: str
    detail: str


Answer = VerdictAnswer | LetterAnswer
_decode_head = msgspec.json.Decoder(_Head).decode


class _Letter(msgspec.Struct):
    source: str
    position: str
    reason: str
    detail: str
    key: str | None = None


_decode_letter = msgspec.json.Decoder(_Letter).decode


class Waiter:
    """One request's place in the queue of answers; a context manager, used by the event loop that made it."""

    def __init__(self, hub: "AnswerHub", transaction_id: str) -> None:
        self._hub = hub
        self._transaction_id = transaction_id
        self._loop = asyncio.get_running_loop()
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()

    def __enter__(self) -> Self:
        self._hub.add_waiter(self._transaction_id, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.remove_waiter(self._transaction_id, self)

    def offer(self, answer: Answer) -> None:
        """Called by the thread that reads topics."""
        try:
            self._loop.call_soon_threadsafe(self._answers.put_nowait, answer)
        except RuntimeError:
            return  # the loop is closed: the process ends, and nobody waits any more

    async def wait(self, timeout_s: float) -> Answer | None:
        """The next answer, or None when none comes in time."""
        try:
            return await asyncio.wait_for(self._answers.get(), max(0.0, timeout_s))
        except TimeoutError:
            return None


class AnswerHub:
    """Answers of one retailer. Safe for threads."""

    def __init__(self, recent_max: int = RECENT_MAX) -> None:
        self._recent_max = recent_max
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, VerdictAnswer] = OrderedDict()
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._waiters: dict[str, list[Waiter]] = {}

    def expect(self, transaction_id: str) -> Waiter:
        """A place for whoever asks next about this transaction; enter it before the question is sent."""
        return Waiter(self, transaction_id)

    def find(self, transaction_id: str) -> VerdictAnswer | None:
        """The highest revision that came lately, or None."""
        with self._lock:
            return self._recent.get(transaction_id)

    def note_asked(self, transaction_id: str) -> None:
        """Kafka has the transaction; its verdict may come at any time."""
        with self._lock:
            self._asked[transaction_id] = None
            if len(self._asked) > ASKED_MAX:
                self._asked.popitem(last=False)

    def is_asked(self, transaction_id: str) -> bool:
        """Whether the door sent this transaction lately."""
        with self._lock:
            return transaction_id in self._asked

    def take_verdict(self, key: bytes | None, value: bytes | None) -> None:
        """One record of the verdicts topic; None as value erases what is known."""
        if value is None:
            with self._lock:
                self._recent.pop((key or b"").decode(errors="replace"), None)
            return
        try:
            head = _decode_head(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        answer = VerdictAnswer(head.revision, head.outcome, value)
        with self._lock:
            known = self._recent.get(head.transaction_id)
            if known is None or known.revision <= head.revision:
                self._recent[head.transaction_id] = answer
                self._recent.move_to_end(head.transaction_id)
                if len(self._recent) > self._recent_max:
                    self._recent.popitem(last=False)
            waiters = tuple(self._waiters.get(head.transaction_id, ()))
        for waiter in waiters:
            waiter.offer(answer)

    def take_letter(self, value: bytes | None) -> None:
        """One record of the dead-letters topic."""
        try:
            letter = _decode_letter(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        with self._lock:
            waiters = tuple(self._waiters.get(letter.key or "", ()))
        for waiter in waiters:
            waiter.offer(LetterAnswer(letter.source, letter.position, letter.reason, letter.detail))

    def add_waiter(self, transaction_id: str, waiter: Waiter) -> None:
        """From now on `waiter` is offered every answer about the transaction."""
        with self._lock:
            self._waiters.setdefault(transaction_id, []).append(waiter)

    def remove_waiter(self, transaction_id: str, waiter: Waiter) -> None:
        """The end of `add_waiter`."""
        with self._lock:
            waiting = self._waiters.get(transaction_id, [])
            if waiter in waiting:
                waiting.remove(waiter)
            if not waiting:
                self._waiters.pop(transaction_id, None)
