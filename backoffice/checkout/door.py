"""One retailer's door: a request becomes a transaction on the topic, and its verdict the answer.

Kafka confirms a transaction before anything is answered, so nothing that was answered is lost. Where no verdict comes in time the
answer is the fallback: a function of the transaction and the settings alone, so that a repeated request is told the same. It is no
verdict and has no revision; the verdict still comes (ADR 0026).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from backoffice.checkout.answers import AnswerHub, VerdictAnswer, Waiter
from backoffice.checkout.ports import Delivered, NotTakenError, RecordWriter
from backoffice.checkout.request import RequestReader, encode_content
from contract.clock import Clock
from contract.events import Resolution, Transaction
from contract.partitions import get_partition_key
from contract.policies import FallbackSettings, decide_degraded
from contract.topics import RESOLUTIONS, TRANSACTIONS
from contract.verdicts import REVISION_FULL, Decision

WAITING_MAX = 2_000
"""Requests that wait for a verdict at the same time; one more is told to come again."""
RESOLUTION_TAKEN_S = 5.0
"""How long Kafka has to confirm a resolution."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict, as it stands on the topic."""

    document: bytes


@dataclass(frozen=True, slots=True)
class FellBack:
    """No verdict within the budget: what the settings decide. The transaction is with Kafka."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Refused:
    """A dead letter said why the record cannot be used; `reason` is a code of REASONS."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A resolution is with Kafka; its revision has not come yet."""


class BusyError(NotTakenError):
    """More requests wait than the door holds."""


class Door:
    """Used by one event loop."""

    def __init__(
        self,
        retailer: str,
        reader: RequestReader,
        writer: RecordWriter,
        hub: AnswerHub,
        clock: Clock,
        *,
        base_currency: str,
        fallback: FallbackSettings,
    ) -> None:
        self._retailer = retailer
        self._reader = reader
        self._writer = writer
        self._hub = hub
        self._clock = clock
        self._base_currency = base_currency
        self._fallback = fallback
        self._under_way: dict[str, tuple[bytes, int]] = {}
        self._waiting = 0

    async def judge(self, body: bytes, budget_s: float) -> Judged | FellBack | Refused:
        """The answer to a request's body, at the latest after `budget_s`.

        Raises InvalidEventError for a body that is no transaction, NotTakenError where Kafka does not confirm it, BusyError where
        too many wait.
        """
        deadline_s = self._clock.monotonic_s() + budget_s
        transaction, amount_base = self._reader.read(body, self._clock.now())
        with self._alone_under(transaction) as free, self._hub.expect(transaction.transaction_id) as waiter:
            if not free:
                return Refused("conflict", "another request with this transaction_id and other content is under way")
            delivered = await self._writer.write(
                TRANSACTIONS.name(self._retailer),
                transaction.transaction_id.encode(),
                msgspec.json.encode(transaction),
                get_partition_key(transaction),
                budget_s,
            )
            self._hub.note_asked(transaction.transaction_id)
            found = await self._await_verdict(waiter, delivered, 0, deadline_s)
        if found is None:
            return FellBack(decide_degraded(amount_base, self._base_currency, self._fallback))
        return found

    async def resolve(self, resolution: Resolution, wait_s: float) -> Judged | Accepted | Refused:
        """Sends a resolution; the new revision where it comes within `wait_s`. Raises NotTakenError."""
        deadline_s = self._clock.monotonic_s() + wait_s
        key = resolution.transaction_id.encode()
        with self._counted(), self._hub.expect(resolution.transaction_id) as waiter:
            delivered = await self._writer.write(
                RESOLUTIONS.name(self._retailer), key, msgspec.json.encode(resolution), key, RESOLUTION_TAKEN_S
            )
            found = await self._await_verdict(
                waiter, delivered, REVISION_FULL + 1, deadline_s, outcome=resolution.outcome
            )
        return found or Accepted()

    async def find(self, transaction_id: str, min_revision: int, wait_s: float) -> VerdictAnswer | None:
        """The highest revision that is known here, waiting up to `wait_s` for one of at least `min_revision`."""
        deadline_s = self._clock.monotonic_s() + wait_s
        with self._hub.expect(transaction_id) as waiter:
            known = self._hub.find(transaction_id)
            if (known is not None and known.revision >= min_revision) or not wait_s:
                return known
            with self._counted():
                while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
                    answer = await waiter.wait(left_s)
                    if isinstance(answer, VerdictAnswer) and answer.revision >= min_revision:
                        return answer
        return self._hub.find(transaction_id)

    def is_asked(self, transaction_id: str) -> bool:
        """Whether this transaction came through the door lately."""
        return self._hub.is_asked(transaction_id)

    async def _await_verdict(
        self, waiter: Waiter, delivered: Delivered, min_revision: int, deadline_s: float, outcome: str | None = None
    ) -> Judged | Refused | None:
        while (left_s := deadline_s - self._clock.monotonic_s()) > 0:
            answer = await waiter.wait(left_s)
            match answer:
                case None:
                    return None
                case VerdictAnswer():
                    if answer.revision >= min_revision and outcome in {None, answer.outcome}:
                        return Judged(answer.document)
                case _:
                    if (answer.source, answer.position) == (delivered.topic, delivered.position):
                        return Refused(answer.reason, answer.detail)
        return None

    @contextmanager
    def _alone_under(self, transaction: Transaction) -> Iterator[bool]:
        """False while a request under way has other content under the same id: its verdict is not the answer to this one."""
        transaction_id, content = transaction.transaction_id, encode_content(transaction)
        known, count = self._under_way.get(transaction_id, (content, 0))
        if known != content:
            yield False
            return
        with self._counted():
            self._under_way[transaction_id] = (content, count + 1)
            try:
                yield True
            finally:
                _, count = self._under_way[transaction_id]
                if count > 1:
                    self._under_way[transaction_id] = (content, count - 1)
                else:
                    del self._under_way[transaction_id]

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._waiting >= WAITING_MAX:
            raise BusyError(f"{WAITING_MAX} requests wait already")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
