"""The HTTP way: one client that blocks and one that awaits, with the same methods."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Self
from urllib.parse import quote

import httpx

from backoffice.checkout.request import TransactionRequest
from backoffice.checkout.sandbox import Force
from contract.events import ResolutionKind
from contract.verdicts import Verdict
from tillguard.client.answers import Answer, Fallback, decide_by_amount
from tillguard.client.exchange import Call, Question, R, Reply, ask_newest, ask_verdict, send_resolution

BUDGET_S = 0.1
TIMEOUT_S = 5.0
"""For questions that nobody at a till waits for, besides the time that they ask to wait."""
CONNECTIONS_MAX = 100


class Client:
    """Blocks. Safe for threads; a context manager."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        fallback: Fallback = decide_by_amount,
        sandbox: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connects when first asked.

        Args:
            url: of the backoffice, such as `https://tillguard.example`.
            token: with the scope `score`, and `resolve` to end holds; with `sandbox`, one of the sandbox.
            fallback: decides when nothing answers.
            sandbox: ask the sandbox, which can be told what to answer.
            transport: instead of the network, for tests.
        """
        self._fallback = fallback
        self._prefix = _choose_prefix(sandbox=sandbox)
        self._http = httpx.Client(base_url=url, headers=_build_headers(token), transport=transport, limits=_LIMITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def judge(
        self, transaction: TransactionRequest, *, budget_s: float = BUDGET_S, force: Force | None = None
    ) -> Answer:
        """What to do with a transaction, within `budget_s`, whatever happens.

        `force`, in the sandbox alone, names the outcome. Raises RequestRefusedError for what is no transaction, for a
        transaction_id that was seen with other content, and for a token that has no right to it.
        """
        return self._drive(
            ask_verdict(
                transaction,
                prefix=self._prefix,
                budget_s=budget_s,
                fallback=self._fallback,
                monotonic_s=time.monotonic,
                force=force,
            )
        )

    def find_verdict(self, transaction_id: str, *, min_revision: int = 0, wait_s: float = 0.0) -> Verdict | None:
        """The highest revision, waiting up to `wait_s` for one of at least `min_revision`; None where there is none.

        Raises RequestRefusedError and UnansweredError.
        """
        return self._drive(
            ask_newest(
                transaction_id, prefix=self._prefix, min_revision=min_revision, wait_s=wait_s, timeout_s=TIMEOUT_S
            )
        )

    def resolve(
        self, transaction_id: str, resolution_id: str, outcome: ResolutionKind, *, wait_s: float = 2.0
    ) -> Verdict | None:
        """Ends a hold: the new revision, or None where it has not come yet. Send it again with the same `resolution_id`.

        Raises RequestRefusedError, also where another resolution came first, and UnansweredError.
        """
        return self._drive(
            send_resolution(
                transaction_id,
                resolution_id,
                outcome,
                prefix=self._prefix,
                resolved_at=datetime.now(UTC),
                wait_s=wait_s,
                timeout_s=TIMEOUT_S,
            )
        )

    def _drive(self, question: Question[R]) -> R:
        reply: Reply | None = None
        try:
            call = next(question)
            while True:
                time.sleep(call.pause_s)
                reply = self._send(call)
                call = question.send(reply)
        except StopIteration as end:
            result: R = end.value
            return result

    def _send(self, call: Call) -> Reply | None:
        try:
            return _read_reply(self._http.send(_build_request(self._http, call)))
        except httpx.HTTPError:
            return None


class AsyncClient:
    """Awaits. Used by one event loop; an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        fallback: Fallback = decide_by_amount,
        sandbox: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """As Client."""
        self._fallback = fallback
        self._prefix = _choose_prefix(sandbox=sandbox)
        self._http = httpx.AsyncClient(base_url=url, headers=_build_headers(token), transport=transport, limits=_LIMITS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def judge(
        self, transaction: TransactionRequest, *, budget_s: float = BUDGET_S, force: Force | None = None
    ) -> Answer:
        """As Client.judge."""
        return await self._drive(
            ask_verdict(
                transaction,
                prefix=self._prefix,
                budget_s=budget_s,
                fallback=self._fallback,
                monotonic_s=time.monotonic,
                force=force,
            )
        )

    async def find_verdict(self, transaction_id: str, *, min_revision: int = 0, wait_s: float = 0.0) -> Verdict | None:
        """As Client.find_verdict."""
        return await self._drive(
            ask_newest(
                transaction_id, prefix=self._prefix, min_revision=min_revision, wait_s=wait_s, timeout_s=TIMEOUT_S
            )
        )

    async def resolve(
        self, transaction_id: str, resolution_id: str, outcome: ResolutionKind, *, wait_s: float = 2.0
    ) -> Verdict | None:
        """As Client.resolve."""
        return await self._drive(
            send_resolution(
                transaction_id,
                resolution_id,
                outcome,
                prefix=self._prefix,
                resolved_at=datetime.now(UTC),
                wait_s=wait_s,
                timeout_s=TIMEOUT_S,
            )
        )

    async def _drive(self, question: Question[R]) -> R:
        try:
            call = next(question)
            while True:
                await asyncio.sleep(call.pause_s)
                call = question.send(await self._send(call))
        except StopIteration as end:
            result: R = end.value
            return result

    async def _send(self, call: Call) -> Reply | None:
        try:
            # httpx limits each step of a call; a budget limits all of them together
            async with asyncio.timeout(call.timeout_s):
                return _read_reply(await self._http.send(_build_request(self._http, call)))
        except (httpx.HTTPError, TimeoutError):
            return None


_LIMITS = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)


def _choose_prefix(*, sandbox: bool) -> tuple[str, ...]:
    return ("v1", "sandbox") if sandbox else ("v1",)


def _build_headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _build_request(http: httpx.Client | httpx.AsyncClient, call: Call) -> httpx.Request:
    return http.build_request(
        call.method,
        "/" + "/".join(quote(part, safe="") for part in call.path),
        params=dict(call.params),
        content=call.body,
        timeout=call.timeout_s,
    )


def _read_reply(response: httpx.Response) -> Reply:
    after = response.headers.get("retry-after", "")
    return Reply(response.status_code, response.content, float(after) if after.isdecimal() else 0.0)
