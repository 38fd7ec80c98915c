"""Which calls a question takes, and what their replies mean, without sending any. Pure.

A question is a generator: it yields calls, is sent each one's reply (None: nothing answered), and returns the result. One loop that
waits and one that awaits can drive it, and a test needs no network.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct

from backoffice.checkout.request import TransactionRequest
from contract.events import ResolutionKind
from contract.verdicts import Decision, Verdict
from tillguard.client.answers import Answer, Fallback, Fault, RequestRefusedError, UnansweredError

MARGIN_S = 0.01
MARGIN_SHARE = 0.1
"""Of a budget, for the way there and back: the server answers earlier by the greater of both."""
PAUSE_S = 0.01
WORTH_TRYING_S = 0.005
COME_AGAIN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """One request to send."""

    method: str
    path: tuple[str, ...]
    """Its parts, as they are before they are quoted."""
    params: Mapping[str, str]
    body: bytes | None
    timeout_s: float
    pause_s: float = 0.0
    """To wait before it is sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


class _Envelope(Struct):
    decision: Decision
    source: str
    verdict: Verdict | None


class _Problem(Struct):
    title: str = "refused"
    code: str | None = None
    errors: list[Fault] = []


R = TypeVar("R")
Question = Generator[Call, Reply | None, R]
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_verdict = msgspec.json.Decoder(Verdict).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode


def ask_verdict(
    transaction: TransactionRequest,
    *,
    prefix: tuple[str, ...],
    budget_s: float,
    fallback: Fallback,
    monotonic_s: Callable[[], float],
    force: str | None = None,
) -> Question[Answer]:
    """The answer within `budget_s`, whatever happens; raises RequestRefusedError for what is no transaction, or a conflict.

    Tries again, with the same id, as long as there is time.
    """
    content: object = transaction
    if force is not None:
        content = msgspec.to_builtins(transaction) | {"force": force}
    body, begin_s, pause_s = msgspec.json.encode(content), monotonic_s(), 0.0
    while (left_s := budget_s - (monotonic_s() - begin_s) - pause_s) > WORTH_TRYING_S:
        wanted_ms = max(1, int((left_s - max(MARGIN_S, MARGIN_SHARE * left_s)) * 1000))
        reply = yield Call("POST", (*prefix, "transactions"), {"budget_ms": str(wanted_ms)}, body, left_s, pause_s)
        if reply is not None and reply.status not in COME_AGAIN:
            _require_success(reply)
            found = _decode_envelope(reply.body)
            return Answer(found.decision, "fallback" if found.source == "fallback" else "verdict", found.verdict)
        pause_s = max(PAUSE_S, 0.0 if reply is None else reply.retry_after_s)
    return Answer(fallback(transaction), "client", None)


def ask_newest(
    transaction_id: str, *, prefix: tuple[str, ...], min_revision: int, wait_s: float, timeout_s: float
) -> Question[Verdict | None]:
    """The highest revision, or None where there is none of that revision; raises RequestRefusedError, UnansweredError."""
    params = {"min_revision": str(min_revision), "wait_ms": str(int(wait_s * 1000))}
    reply = yield Call("GET", (*prefix, "verdicts", transaction_id), params, None, wait_s + timeout_s)
    answered = _require_answer(reply)
    return None if answered.status == 204 else _decode_verdict(answered.body)


def send_resolution(
    transaction_id: str,
    resolution_id: str,
    outcome: ResolutionKind,
    *,
    prefix: tuple[str, ...],
    resolved_at: datetime,
    wait_s: float,
    timeout_s: float,
    tries: int = 3,
) -> Question[Verdict | None]:
    """The new revision, or None where it has not come yet; raises RequestRefusedError, UnansweredError."""
    body = msgspec.json.encode({"resolution_id": resolution_id, "outcome": outcome, "resolved_at": resolved_at})
    path, reply = (*prefix, "verdicts", transaction_id, "resolution"), None
    for number in range(tries):
        pause_s = 0.0 if not number else max(PAUSE_S, reply.retry_after_s if reply is not None else 0.0)
        reply = yield Call("POST", path, {"wait_ms": str(int(wait_s * 1000))}, body, wait_s + timeout_s, pause_s)
        if reply is not None and reply.status not in COME_AGAIN:
            break
    answered = _require_answer(reply)
    return None if answered.status == 202 else _decode_verdict(answered.body)


def _require_answer(reply: Reply | None) -> Reply:
    if reply is None or reply.status in COME_AGAIN:
        raise UnansweredError("Tillguard does not answer" if reply is None else f"Tillguard answers {reply.status}")
    _require_success(reply)
    return reply


def _require_success(reply: Reply) -> None:
    if reply.status < 300:
        return
    try:
        problem = _decode_problem(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    raise RequestRefusedError(reply.status, problem.title, problem.code, problem.errors)
