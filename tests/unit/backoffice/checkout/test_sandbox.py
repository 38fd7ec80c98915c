"""The sandbox plays every outcome."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from backoffice.checkout.door import FellBack, Judged, Refused
from backoffice.checkout.request import RequestReader
from backoffice.checkout.sandbox import EXPIRES_AFTER_S, Sandbox
from contract.clock import ManualClock
from contract.codec import Admission
from contract.policies import FallbackSettings, HoldSettings
from contract.tokens import Tokeniser

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Play:
    def __init__(self, remembered_max: int = 10) -> None:
        self.clock = ManualClock(NOW)
        reader = RequestReader(Admission("meadow", "EUR"), Tokeniser({"k": bytes(16)}, "k"))
        self.box = Sandbox(
            reader,
            self.clock,
            base_currency="EUR",
            fallback=FallbackSettings(),
            hold=HoldSettings(),
            remembered_max=remembered_max,
        )

    def ask(self, force: str, identity: str = "a", amount: int = 50) -> Any:
        asked = {"transaction_id": identity, "event_time": NOW.isoformat(), "currency": "EUR", "amount": amount}
        found = self.box.judge(json.dumps(asked | {"force": force}).encode())
        return json.loads(found.document) if isinstance(found, Judged) else found

    def find(self, identity: str = "a") -> Any:
        found = self.box.find(identity)
        return None if found is None else json.loads(found.document)


@pytest.mark.parametrize("decision", ["allow", "flag", "hold", "block"])
def test_a_decision_comes_as_it_was_asked_for_and_stays(decision: str) -> None:
    play = Play()
    first = play.ask(decision)
    assert (first["decision"], first["revision"], first["degraded"]) == (decision, 1, False)
    assert play.ask(decision) == first == play.find()


def test_a_degraded_answer_is_followed_by_the_full_one() -> None:
    play = Play()
    first, then = play.ask("degraded", amount=300), play.find()
    assert (first["revision"], first["decision"], first["score"], first["cause"]) == (
        0,
        "hold",
        None,
        "model_unavailable",
    )
    assert (then["revision"], then["decision"], then["degraded"]) == (1, "allow", False)


def test_a_timeout_is_a_fallback_now_and_a_verdict_later() -> None:
    play = Play()
    assert play.ask("timeout", amount=300) == FellBack("hold")
    assert play.find()["decision"] == "allow"


def test_a_conflict_is_asked_for_or_real() -> None:
    play = Play()
    assert isinstance(play.ask("conflict"), Refused)
    play.ask("allow", "b")
    assert isinstance(play.ask("allow", "b", amount=51), Refused)


def test_a_hold_that_is_to_expire_is_blocked_by_policy_when_its_time_is_over() -> None:
    play = Play()
    assert play.ask("expire")["decision"] == "hold"
    play.clock.advance(EXPIRES_AFTER_S)
    assert (play.find()["revision"], play.find()["decision"], play.find()["outcome"]) == (2, "block", "expired")


def test_late_is_marked() -> None:
    assert Play().ask("late")["late"] is True


def test_a_resolution_ends_a_hold_once() -> None:
    play = Play()
    play.ask("hold")
    ended = play.box.resolve("a", "3ds-1", "step_up_failed")
    assert isinstance(ended, Judged)
    assert json.loads(ended.document)["decision"] == "block"
    assert play.box.resolve("a", "3ds-1", "step_up_failed") == ended
    assert isinstance(play.box.resolve("a", "3ds-2", "approved"), Refused)
    assert isinstance(play.box.resolve("nobody", "3ds-1", "approved"), Refused)
    play.ask("allow", "b")
    assert isinstance(play.box.resolve("b", "3ds-1", "approved"), Refused)


def test_what_it_remembers_is_bounded() -> None:
    play = Play(remembered_max=2)
    for identity in "abc":
        play.ask("allow", identity)
    assert play.find("a") is None
    assert play.find("c") is not None
