"""Sends decisions, and sends them again until an answer is seen: whatever dies after a decision was written down, it is applied.

A resolution that is sent twice is answered twice by the same revision, or by the same dead letter, so sending it again does no harm:
nor do two outboxes over one database.
"""

import asyncio
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog

from backoffice.cases.decisions import CaseDecisions
from backoffice.cases.marks import MarkBook
from backoffice.cases.results import CaseDecision
from contract.clock import Clock
from contract.errors import TransientError
from contract.events import Resolution

PASS_S = 1.0
RESEND_WAIT_S = 5.0
"""How long a decision that is sent again waits for its answer."""
PASS_MAX = 50
"""Decisions of one pass."""
EVER_S = 10 * 365 * 86_400.0
log = structlog.get_logger()


class Applied(NamedTuple):
    """The revision that came of a resolution."""

    revision: int
    document: bytes
    """The verdict as it stands on the topic."""


class Rejected(NamedTuple):
    """A dead letter came of it; `reason` is a code of REASONS."""

    reason: str
    detail: str


class ResolutionSender(Protocol):
    """The way to the worker."""

    async def send(self, resolution: Resolution, wait_s: float) -> Applied | Rejected | None:
        """The answer that came within `wait_s`, or None. Raises TransientError where Kafka does not take it."""
        ...


class Sent(NamedTuple):
    """What became of a decision."""

    decision: CaseDecision
    document: bytes | None
    """The new verdict, where it came in time."""


class Outbox:
    """One retailer's; used by one event loop."""

    def __init__(
        self, retailer: str, decisions: CaseDecisions, marks: MarkBook, sender: ResolutionSender, clock: Clock
    ) -> None:
        self._retailer = retailer
        self._decisions = decisions
        self._marks = marks
        self._sender = sender
        self._clock = clock
        self._under_way: set[str] = set()

    async def send(self, decision: CaseDecision, wait_s: float) -> Sent:
        """Sends a decision that is written down, and its marks. Never raises for a broker or store that is away: it is sent again."""
        await self.apply_marks(decision.decision_id)
        if decision.state != "pending" or decision.decision_id in self._under_way:
            return Sent(decision, None)
        self._under_way.add(decision.decision_id)
        try:
            return await self._send(decision, wait_s)
        except TransientError as error:
            log.warning("decision_waits", decision=decision.decision_id, error=str(error))
            return Sent(decision, None)
        finally:
            self._under_way.discard(decision.decision_id)

    async def run(self) -> None:
        """Sends what has no answer: everything at the start, later what is due. Ends by being cancelled."""
        ahead_s = EVER_S
        while True:
            try:
                await self.send_pending(ahead_s)
            except Exception as error:  # noqa: BLE001 - it must not end; an exception's text may hold data, its kind does not
                log.error("outbox_failed", retailer=self._retailer, error=type(error).__name__)  # noqa: TRY400
            ahead_s = 0.0
            await asyncio.sleep(PASS_S)

    async def send_pending(self, ahead_s: float = 0.0) -> None:
        """One pass over what is due by `ahead_s` from now."""
        until = self._clock.now() + timedelta(seconds=ahead_s)
        try:
            due = await asyncio.to_thread(self._decisions.list_due, self._retailer, until, PASS_MAX)
            await self.apply_marks()
        except TransientError as error:
            log.warning("outbox_waits", retailer=self._retailer, error=str(error))
            return
        await asyncio.gather(*(self.send(each, RESEND_WAIT_S) for each in due))

    async def apply_marks(self, decision_id: str | None = None) -> None:
        """Puts snoozes and list entries in force that decisions asked for: of one, or of all."""
        try:
            await asyncio.to_thread(self._apply_marks, decision_id)
        except TransientError as error:
            log.warning("marks_wait", retailer=self._retailer, error=str(error))

    async def _send(self, decision: CaseDecision, wait_s: float) -> Sent:
        await asyncio.to_thread(self._decisions.note_send, self._retailer, decision)
        answer = await self._sender.send(build_resolution(self._retailer, decision), wait_s)
        match answer:
            case Applied():
                settled = await self._settle(decision, revision=answer.revision)
                return Sent(settled, answer.document)
            case Rejected():
                return Sent(await self._settle(decision, refusal=(answer.reason, answer.detail)), None)
            case None:
                return Sent(decision, None)

    async def _settle(
        self, decision: CaseDecision, *, revision: int | None = None, refusal: tuple[str, str] | None = None
    ) -> CaseDecision:
        return await asyncio.to_thread(
            lambda: self._decisions.settle(self._retailer, decision, revision=revision, refusal=refusal)
        )

    def _apply_marks(self, decision_id: str | None) -> None:
        for mark in self._decisions.list_pending_marks(self._retailer, PASS_MAX, decision_id=decision_id):
            refusal = None
            try:
                if mark.snooze is not None:
                    self._marks.add_snooze(mark.snooze)
                if mark.entry is not None:
                    self._marks.put_on_list(mark.entry)
            except ValueError as error:
                refusal = str(error)
            self._decisions.settle_mark(self._retailer, mark, refusal)


def build_resolution(retailer: str, decision: CaseDecision) -> Resolution:
    """What is sent: the same bytes however often."""
    return Resolution(
        resolution_id=decision.resolution_id,
        transaction_id=decision.transaction_id,
        retailer=retailer,
        outcome=decision.outcome,
        actor=decision.by,
        resolved_at=decision.decided_at,
    )
