"""What a client does with replies, without a network: tries again within its budget, and decides by itself in the end."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import msgspec
import pytest

from backoffice.checkout.request import TransactionRequest
from tillguard.client.answers import Answer, RequestRefusedError, UnansweredError, decide_by_amount
from tillguard.client.exchange import Call, Question, R, Reply, ask_newest, ask_verdict, send_resolution
from tillguard.client.http_client import Client

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BASKET = TransactionRequest(transaction_id="a", event_time=NOW, currency="EUR", amount=Decimal("50.00"))
FELL_BACK = Reply(200, b'{"decision":"hold","source":"fallback","verdict":null}')
BUSY = Reply(503, b"{}", 0.02)


class Till:
    """Drives a question; each call takes `call_s`."""

    def __init__(self, replies: Sequence[Reply | None], call_s: float = 0.03) -> None:
        self._replies = list(replies)
        self._call_s = call_s
        self.now_s = 0.0
        self.calls: list[Call] = []

    def drive(self, question: Question[R]) -> R:
        try:
            call = next(question)
            while True:
                self.calls.append(call)
                self.now_s += call.pause_s + self._call_s
                call = question.send(self._replies.pop(0) if self._replies else None)
        except StopIteration as end:
            result: R = end.value
            return result

    def judge(self, budget_s: float = 0.1) -> Answer:
        return self.drive(
            ask_verdict(
                BASKET, prefix=("v1",), budget_s=budget_s, fallback=decide_by_amount, monotonic_s=lambda: self.now_s
            )
        )


def test_the_server_is_asked_to_answer_a_little_before_the_budget_ends() -> None:
    till = Till([FELL_BACK])
    assert till.judge() == Answer("hold", "fallback", None)
    assert till.calls[0].params == {"budget_ms": "90"}
    assert till.calls[0].timeout_s == pytest.approx(0.1)


def test_a_busy_server_is_asked_again_with_the_same_body_for_as_long_as_there_is_time() -> None:
    till = Till([BUSY, FELL_BACK])
    assert till.judge().source == "fallback"
    assert till.calls[0].body == till.calls[1].body
    assert till.calls[1].pause_s == pytest.approx(0.02)
    assert till.calls[1].timeout_s == pytest.approx(0.05)


def test_when_nothing_answers_in_time_the_client_decides_by_itself() -> None:
    till = Till([])
    assert till.judge() == Answer("flag", "client", None)
    assert till.now_s <= 0.13, "no call begins once the budget is spent"
    assert len(till.calls) == 3


def test_a_wait_that_is_longer_than_the_budget_is_not_begun() -> None:
    till = Till([Reply(503, b"{}", 1.0)])
    assert till.judge().source == "client"
    assert len(till.calls) == 1


def test_what_will_never_be_answered_is_told_by_field() -> None:
    body = b'{"title":"no","status":422,"errors":[{"pointer":"/ip","code":"field_invalid","text":"not an address"}]}'
    with pytest.raises(RequestRefusedError, match="/ip: not an address") as caught:
        Till([Reply(422, body)]).judge()
    assert (caught.value.status, caught.value.faults[0].pointer) == (422, "/ip")
    with pytest.raises(RequestRefusedError):
        Till([Reply(404, b"<html>")]).judge()


def test_a_question_that_waits_is_given_the_time_to_wait() -> None:
    till = Till([Reply(204, b"")])
    newest = ask_newest("a/b", prefix=("v1",), min_revision=1, wait_s=3.0, timeout_s=5.0)
    assert till.drive(newest) is None
    assert till.calls[0].path == ("v1", "verdicts", "a/b")
    assert till.calls[0].timeout_s == 8.0
    with pytest.raises(UnansweredError):
        Till([None]).drive(ask_newest("a", prefix=("v1",), min_revision=0, wait_s=0, timeout_s=1))


def test_a_resolution_is_sent_again_with_the_same_id_and_then_reported_as_unanswered() -> None:
    def resolving() -> Question[object]:
        return send_resolution(
            "a", "3ds-1", "step_up_passed", prefix=("v1",), resolved_at=NOW, wait_s=1.0, timeout_s=5.0
        )

    till = Till([None, BUSY, Reply(202, b"")])
    assert till.drive(resolving()) is None
    assert len({call.body for call in till.calls}) == 1
    assert msgspec.json.decode(till.calls[0].body or b"")["resolution_id"] == "3ds-1"
    with pytest.raises(UnansweredError):
        Till([BUSY, BUSY, BUSY]).drive(resolving())


def test_an_id_stays_one_part_of_a_path() -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(204)

    with Client("http://till", "token", transport=httpx.MockTransport(answer)) as client:
        assert client.find_verdict("../?x=1#y") is None
    assert asked[0].partition(b"?")[0] == b"/v1/verdicts/..%2F%3Fx%3D1%23y"


@pytest.mark.parametrize(
    ("amount", "amount_minor", "currency", "decision"),
    [
        ("199.99", None, "EUR", "flag"),
        ("200", None, "EUR", "hold"),
        (None, 20_000, "EUR", "hold"),
        (None, 199, "JPY", "flag"),
    ],
)
def test_the_usual_fallback_holds_from_200_units_of_the_currency(
    amount: str | None, amount_minor: int | None, currency: str, decision: str
) -> None:
    asked = TransactionRequest(
        transaction_id="a",
        event_time=NOW,
        currency=currency,
        amount=None if amount is None else Decimal(amount),
        amount_minor=amount_minor,
    )
    assert decide_by_amount(asked) == decision
