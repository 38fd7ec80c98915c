"""An operator's orders, from the giving to the coordinator's answer in its ledger.

Knows one transport, and the keys that orders and answers are signed with: an operator acts with the coordinator's own. Whether
an order counts is the coordinator's decision (`federation.coordinator.admission`).
"""

import secrets
import time
from typing import Literal, NamedTuple

import msgspec

from contract.clock import Clock, to_epoch_ms
from contract.errors import TransientError
from contract.federation.fields import CLOCK_TOLERANCE_MS, COORDINATOR, OPERATOR
from contract.federation.messages import LedgerEntry, Order
from federation.audit.history import decode_content
from federation.messages.envelope import seal, to_records
from federation.messages.foreign import translate_foreign_errors
from federation.messages.identity import Identity, PublicIdentity
from federation.messages.inbox import Inbox
from federation.refusals import FederationRefusedError
from federation.transports.log_clock import describe_skew
from federation.transports.ports import Outgoing, Record, Transport

POLL_S = 0.5


class Answer(NamedTuple):
    """What became of an order."""

    outcome: Literal["done", "refused", "unanswered"]
    """unanswered: nobody has said anything of it so far; it stands on the log, and a coordinator that comes to it takes it."""
    reason: str = ""
    """refused: a code of DROP_REASONS."""
    detail: str = ""
    """In words; unanswered: what ended the waiting early, if anything."""


def give(
    order: Order, *, identity: Identity, federation: str, transport: Transport, clock: Clock, wait_s: float = 0.0
) -> Answer:
    """Puts `order` on the log, and waits up to `wait_s` for the coordinator's answer; 0: does not wait.

    Raises TransientError where it is unknown whether the order stands; once it does, an error only ends the waiting.
    """
    order = msgspec.structs.replace(order, order_id=order.order_id or secrets.token_hex(16))
    ledger = transport.find_bounds("ledger")[1]
    sent_at_ms = to_epoch_ms(clock.now())
    signed = seal(order, identity, federation=federation, sent_at_ms=sent_at_ms, sender=OPERATOR)
    records = to_records(signed, identity)
    ahead_ms = sent_at_ms - transport.append([Outgoing("updates", OPERATOR.encode(), record) for record in records])
    if ahead_ms > CLOCK_TOLERANCE_MS:
        # Every reader drops it, so no answer would ever come.
        return Answer("refused", "time", describe_skew(ahead_ms) or "")
    if wait_s <= 0:
        return Answer("unanswered")
    deadline = time.monotonic() + wait_s
    try:
        transport.read_from({"ledger": ledger})
        return _answer(transport, _Answers(order, federation, identity.public), deadline)
    except TransientError as error:
        return Answer("unanswered", detail=str(error))


def _answer(transport: Transport, answers: "_Answers", deadline: float) -> Answer:
    while time.monotonic() < deadline:
        for record in transport.poll(POLL_S):
            answer = answers.take(record)
            if answer is not None:
                return answer
    return Answer("unanswered")


class _Answers:
    """Finds the answer to one order among the ledger's records."""

    def __init__(self, order: Order, federation: str, coordinator: PublicIdentity) -> None:
        self._order = order
        self._coordinator = coordinator
        self._inbox = Inbox(federation, log="ledger", any_time=True)

    def take(self, record: Record) -> Answer | None:
        try:
            with translate_foreign_errors():
                found = self._inbox.take(record.value, roster=self._known, now_ms=record.appended_ms)
        except FederationRefusedError:
            return None
        entries = (opened.message for opened in found if isinstance(opened.message, LedgerEntry))
        return next((answer for entry in entries if (answer := find_answer(entry, self._order)) is not None), None)

    def _known(self, name: str) -> PublicIdentity | None:
        return self._coordinator if name == COORDINATOR else None


def find_answer(entry: LedgerEntry, order: Order) -> Answer | None:
    """What `entry` says of `order`; None where it speaks of something else. Pure."""
    content = decode_content(entry)
    if order.order_id is None or content.get("order_id") != order.order_id:
        return None
    if entry.kind == "order_refused":
        return Answer("refused", str(content.get("reason", "")), str(content.get("detail", "")))
    return Answer("done")
