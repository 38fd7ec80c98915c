"""The door without Kafka: what it answers when verdicts, dead letters and confirmations come in any order, or not at all."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from backoffice.checkout.answers import AnswerHub
from backoffice.checkout.door import Accepted, BusyError, Door, FellBack, Judged, Refused
from backoffice.checkout.ports import Delivered, NotTakenError
from backoffice.checkout.request import RequestReader
from contract.clock import SystemClock
from contract.codec import Admission
from contract.events import Resolution
from contract.policies import FallbackSettings
from contract.tokens import Tokeniser

NOW = datetime.now(UTC)
LONG_S = 30.0


def verdict(revision: int = 1, outcome: str | None = None, identity: str = "a") -> bytes:
    return json.dumps({"transaction_id": identity, "revision": revision, "outcome": outcome}).encode()


def letter(position: str, reason: str = "conflict", source: str = "meadow.transactions.v1") -> bytes:
    return json.dumps({"key": "a", "source": source, "position": position, "reason": reason, "detail": "d"}).encode()


class Writer:
    """Kafka in memory: partition 0, offsets from 0; `then` happens before the confirmation."""

    def __init__(self, then: Callable[[], Any] = lambda: None, *, fails: bool = False) -> None:
        self._then = then
        self._fails = fails
        self.written: list[tuple[str, bytes]] = []

    async def write(self, topic: str, key: bytes, value: bytes, partition_by: bytes, timeout_s: float) -> Delivered:
        if self._fails:
            raise NotTakenError("away")
        self.written.append((topic, key))
        self._then()
        await asyncio.sleep(0)
        return Delivered(topic, 0, len(self.written) - 1)


def make_door(hub: AnswerHub, writer: Writer) -> Door:
    return Door(
        "meadow",
        RequestReader(Admission("meadow", "EUR"), Tokeniser({"k": bytes(16)}, "k")),
        writer,
        hub,
        SystemClock(),
        base_currency="EUR",
        fallback=FallbackSettings(),
    )


def body(amount: int = 50, identity: str = "a") -> bytes:
    asked = {"transaction_id": identity, "event_time": NOW.isoformat(), "currency": "EUR", "amount": amount}
    return json.dumps(asked).encode()


def judged(then: Callable[[AnswerHub], Any], *, budget_s: float = LONG_S, amount: int = 50) -> Any:
    async def ask() -> Any:
        hub = AnswerHub()
        return await make_door(hub, Writer(lambda: then(hub))).judge(body(amount), budget_s)

    return asyncio.run(ask())


def test_the_verdict_is_the_answer_as_it_stands_also_before_the_confirmation() -> None:
    assert judged(lambda hub: hub.take_verdict(b"a", verdict())) == Judged(verdict())


def test_without_a_verdict_the_settings_decide_by_the_amount() -> None:
    assert judged(lambda _: None, budget_s=0.01) == FellBack("flag")
    assert judged(lambda _: None, budget_s=0.01, amount=200) == FellBack("hold")


def test_a_dead_letter_about_this_very_record_is_the_answer_and_one_about_another_is_not() -> None:
    def both(hub: AnswerHub) -> None:
        hub.take_letter(letter("0:7"))
        hub.take_letter(letter("0:0", source="meadow.resolutions.v1"))
        hub.take_letter(letter("0:0", "time_future"))

    assert judged(both) == Refused("time_future", "d")


def test_nothing_is_answered_that_kafka_has_not() -> None:
    with pytest.raises(NotTakenError):
        asyncio.run(make_door(AnswerHub(), Writer(fails=True)).judge(body(), LONG_S))


def test_two_requests_of_one_id_and_other_content_at_once_do_not_share_a_verdict() -> None:
    async def ask() -> list[Any]:
        hub = AnswerHub()
        door = make_door(hub, Writer())
        first = asyncio.create_task(door.judge(body(50), LONG_S))
        same = asyncio.create_task(door.judge(body(50), LONG_S))
        await asyncio.sleep(0)
        other = await door.judge(body(51), LONG_S)
        hub.take_verdict(b"a", verdict())
        return [await first, await same, other]

    first, same, other = asyncio.run(ask())
    assert first == same == Judged(verdict())
    assert isinstance(other, Refused)
    assert other.reason == "conflict"


def test_a_resolution_waits_for_the_revision_that_carries_its_outcome() -> None:
    resolution = Resolution(
        resolution_id="r", transaction_id="a", retailer="meadow", outcome="approved", actor="ann", resolved_at=NOW
    )

    def resolved(then: Callable[[AnswerHub], Any], wait_s: float) -> Any:
        async def ask() -> Any:
            hub = AnswerHub()
            return await make_door(hub, Writer(lambda: then(hub))).resolve(resolution, wait_s)

        return asyncio.run(ask())

    def expires_first(hub: AnswerHub) -> None:
        for revision, outcome in ((1, None), (2, "expired"), (3, "approved")):
            hub.take_verdict(b"a", verdict(revision, outcome))

    assert resolved(expires_first, LONG_S) == Judged(verdict(3, "approved"))
    assert resolved(lambda _: None, 0.01) == Accepted()
    late = resolved(lambda hub: hub.take_letter(letter("0:0", source="meadow.resolutions.v1")), LONG_S)
    assert late == Refused("conflict", "d")


def find(minimum: int, wait_s: float, then: Callable[[AnswerHub], Any], known: bytes | None = None) -> Any:
    async def ask() -> Any:
        hub = AnswerHub()
        if known is not None:
            hub.take_verdict(b"a", known)
        task = asyncio.create_task(make_door(hub, Writer()).find("a", minimum, wait_s))
        await asyncio.sleep(0)
        then(hub)
        return await task

    found = asyncio.run(ask())
    return None if found is None else found.revision


def test_a_question_waits_for_the_revision_that_it_needs() -> None:
    assert find(0, 0.0, lambda _: None) is None
    assert find(0, LONG_S, lambda hub: hub.take_verdict(b"a", verdict())) == 1
    assert find(2, LONG_S, lambda hub: hub.take_verdict(b"a", verdict(2)), verdict(1)) == 2
    assert find(2, 0.01, lambda _: None, verdict(1)) == 1


def test_more_requests_than_the_door_holds_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backoffice.checkout.door.WAITING_MAX", 1)

    async def ask() -> None:
        hub = AnswerHub()
        door = make_door(hub, Writer())
        first: Awaitable[Any] = asyncio.create_task(door.judge(body(), LONG_S))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await door.judge(body(identity="b"), LONG_S)
        hub.take_verdict(b"a", verdict())
        await first
        hub.take_verdict(b"b", verdict(identity="b"))

    asyncio.run(ask())


def test_the_newest_verdicts_are_remembered_up_to_a_bound_and_forgotten_when_erased() -> None:
    hub = AnswerHub(recent_max=2)
    for identity in "abc":
        hub.take_verdict(identity.encode(), verdict(2, identity=identity))
    hub.take_verdict(b"c", verdict(1, identity="c"))
    assert hub.find("a") is None
    assert getattr(hub.find("c"), "revision", None) == 2
    hub.take_verdict(b"c", None)
    hub.take_verdict(b"d", b"no verdict")
    hub.take_letter(b"no letter")
    assert hub.find("c") is None
