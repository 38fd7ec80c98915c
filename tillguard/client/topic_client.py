"""The topic way: straight to the retailer's Kafka, without the backoffice. Needs the retailer's settings, its token keys included."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, Self, TypeVar

import msgspec

from backoffice.checkout.door import FellBack, Judged, Refused
from backoffice.checkout.ports import NotTakenError
from backoffice.checkout.request import TransactionRequest
from contract.clock import SystemClock
from contract.errors import InvalidEventError
from contract.settings import Settings
from contract.verdicts import Verdict
from tillguard.backoffice.root import open_door
from tillguard.client.answers import Answer, Fallback, Fault, RequestRefusedError, decide_by_amount

BUDGET_S = 0.1
READING_WITHIN_S = 10.0
"""How long a start waits for Kafka; without it, every question gets the client's own fallback."""
R = TypeVar("R")
_decode_verdict = msgspec.json.Decoder(Verdict).decode


class AsyncTopicClient:
    """Awaits. Used by one event loop; an asynchronous context manager."""

    def __init__(self, settings: Settings, *, fallback: Fallback = decide_by_amount) -> None:
        """`fallback` decides when Kafka does not answer; without a verdict in time scoring.fallback does."""
        self._fallback = fallback
        self._settings = settings
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        opening = partial(open_door, self._settings, self._stack, SystemClock(), wait_s=READING_WITHIN_S)
        opened = asyncio.get_running_loop().run_in_executor(None, opening)
        self._door = (await opened).door
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._stack.close)

    async def judge(self, transaction: TransactionRequest, *, budget_s: float = BUDGET_S) -> Answer:
        """As `tillguard.client.Client.judge`."""
        try:
            found = await self._door.judge(msgspec.json.encode(transaction), budget_s)
        except InvalidEventError as error:
            fault = Fault(pointer=f"/{error.field or ''}", code=error.reason, text=error.detail)
            raise RequestRefusedError(422, "Something in the transaction cannot be used", None, [fault]) from None
        except NotTakenError:
            return Answer(self._fallback(transaction), "client", None)
        match found:
            case Judged():
                verdict = _decode_verdict(found.document)
                return Answer(verdict.decision, "verdict", verdict)
            case FellBack():
                return Answer(found.decision, "fallback", None)
            case Refused():
                status = 409 if found.reason == "conflict" else 422
                raise RequestRefusedError(status, found.detail, found.reason, [])

    async def find_verdict(self, transaction_id: str, *, min_revision: int = 0, wait_s: float = 0.0) -> Verdict | None:
        """The highest revision among those that came while this client was open, waiting for one of at least `min_revision`."""
        found = await self._door.find(transaction_id, min_revision, wait_s)
        return None if found is None or found.revision < min_revision else _decode_verdict(found.document)


class TopicClient:
    """Blocks; safe for threads. A context manager. An event loop of its own runs on a thread of its own."""

    def __init__(self, settings: Settings, *, fallback: Fallback = decide_by_amount) -> None:
        """As AsyncTopicClient."""
        self._inner = AsyncTopicClient(settings, fallback=fallback)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="topic-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._inner.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def judge(self, transaction: TransactionRequest, *, budget_s: float = BUDGET_S) -> Answer:
        """As AsyncTopicClient.judge."""
        return self._wait(self._inner.judge(transaction, budget_s=budget_s))

    def find_verdict(self, transaction_id: str, *, min_revision: int = 0, wait_s: float = 0.0) -> Verdict | None:
        """As AsyncTopicClient.find_verdict."""
        return self._wait(self._inner.find_verdict(transaction_id, min_revision=min_revision, wait_s=wait_s))

    def _wait(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
