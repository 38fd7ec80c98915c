"""A checkout that speaks HTTP: questions, verdicts, refusals, resolutions, over a real worker."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from backoffice.accounts.permissions import Scope
from contract.topics import TRANSACTIONS
from support.live_backoffice import LiveBackoffice
from support.live_worker import Shop, until
from tillguard.client import (
    Answer,
    AsyncClient,
    AsyncTopicClient,
    Client,
    RequestRefusedError,
    TopicClient,
    TransactionRequest,
    UnansweredError,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[3]
WAITING = {"budget_ms": 10_000}


@pytest.fixture
def shop(retailer: Any, tmp_path: Path) -> Shop:
    shop = Shop(retailer, tmp_path)
    shop.configure("scoring", budget_ms=30_000)  # no verdict is degraded because the machine is slow
    return shop


@pytest.fixture
def office(shop: Shop) -> Iterator[LiveBackoffice]:
    with LiveBackoffice(shop.folder, shop.settings) as office:
        yield office


def question(identity: str, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"transaction_id": identity, "event_time": now, "currency": "EUR", "amount": "50.00"} | changes


def revisions_of(client: httpx.Client, identity: str, revision: int) -> dict[str, Any] | None:
    """What is known of a transaction, once it has that revision and a resolution."""
    answer = client.get(f"/v1/verdicts/{identity}/revisions")
    known: dict[str, Any] = answer.json()
    if answer.status_code == 200 and known["resolutions"] and known["verdicts"][-1]["revision"] >= revision:
        return known
    return None


def same(verdict: dict[str, Any]) -> dict[str, Any]:
    """What is equal however often a transaction is delivered."""
    return {
        name: verdict[name]
        for name in ("transaction_id", "revision", "decision", "score", "model_version", "rules_version")
    }


def test_a_checkout_asks_by_http_and_gets_what_stands_on_the_topic(shop: Shop, office: LiveBackoffice) -> None:
    shop.topics.publish_model()
    with shop.worker() as worker, office.client(shop.settings.retailer, Scope.SCORE, Scope.RESOLVE) as client:
        worker.await_ready()
        asked = question("a", customer="ann", card="4111 1111 1111 1111")
        answer = client.post("/v1/transactions", params=WAITING, json=asked)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["decision"], answer.json()["source"]) == ("allow", "verdict")
        assert answer.json()["verdict"] == shop.topics.verdict("a")
        assert "model;dur=" in answer.headers["server-timing"]

        again = client.post("/v1/transactions", params=WAITING, json=asked)
        assert same(again.json()["verdict"]) == same(answer.json()["verdict"])
        other = client.post("/v1/transactions", params=WAITING, json=asked | {"amount": "51.00"})
        assert (other.status_code, other.json()["code"]) == (409, "conflict")

        held = client.post("/v1/transactions", params=WAITING, json=question("b", amount_minor=40_000, amount=None))
        assert held.json()["decision"] == "hold", held.text
        ended = {"resolution_id": "3ds-1", "outcome": "step_up_passed"}
        revised = client.post("/v1/verdicts/b/resolution", json=ended, params={"wait_ms": 30_000})
        assert (revised.status_code, revised.json()["revision"], revised.json()["decision"]) == (200, 2, "allow")
        assert client.get("/v1/verdicts/b").json() == revised.json()
        known = until(lambda: revisions_of(client, "b", 2), "a read model that has heard of it")
        assert [each["revision"] for each in known["verdicts"]] == [1, 2]
        assert [each["resolution_id"] for each in known["resolutions"]] == ["3ds-1"]
        page = client.get("/v1/verdicts").json()
        assert (page["code"], client.get("/v1/verdicts/nobody").status_code) == ("right_missing", 404)
        late = client.post("/v1/verdicts/b/resolution", json=ended | {"resolution_id": "3ds-2", "outcome": "rejected"})
        assert (late.status_code, late.json()["code"]) == (409, "conflict")
        assert worker.terminate() == 0


def test_without_a_worker_the_fallback_answers_and_the_verdict_comes_later(shop: Shop, office: LiveBackoffice) -> None:
    shop.topics.publish_model()
    with office.client(shop.settings.retailer, Scope.SCORE) as client:
        small = client.post("/v1/transactions", params={"budget_ms": 200}, json=question("a"))
        large = client.post("/v1/transactions", params={"budget_ms": 200}, json=question("b", amount="250"))
        assert small.json() == {"decision": "flag", "source": "fallback", "verdict": None}
        assert large.json() == {"decision": "hold", "source": "fallback", "verdict": None}
        assert client.get("/v1/verdicts/a").status_code == 204
        slashed = question("2026/12 #1?")
        assert client.post("/v1/transactions", params={"budget_ms": 200}, json=slashed).status_code == 200
        assert client.get("/v1/verdicts/2026%2F12%20%231%3F").status_code == 204, "an id with a slash is one id"
        assert client.get("/v1/verdicts/2026%2F12%20%231%3F/revisions").status_code == 200
        with shop.worker() as worker:
            found = client.get("/v1/verdicts/a", params={"wait_ms": 30_000, "min_revision": 1})
            assert (found.status_code, found.json()["revision"]) == (200, 1)
            assert worker.terminate() == 0


def test_a_body_that_cannot_be_used_is_refused_by_its_field_and_never_by_its_value(
    shop: Shop, office: LiveBackoffice
) -> None:
    with office.client(shop.settings.retailer, Scope.SCORE) as client:
        for wrong, pointer in (
            ({"ip": "4111111111111111"}, "/ip"),
            ({"amount": "4111x"}, "/amount"),
            ({"emial": "ann@example.com"}, "/emial"),
            ({"currency": "XXX"}, "/currency"),
            ({"event_time": "2026-12-01T00:00:00"}, "/event_time"),
            ({"amount": -1}, "/amount"),
            ({"amount_minor": 1}, "/amount"),
        ):
            answer = client.post("/v1/transactions", json=question("w") | wrong)
            assert answer.status_code == 422, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["errors"][0]["pointer"] == pointer
            assert "4111" not in answer.text
            assert "example.com" not in answer.text


def test_nobody_learns_more_than_the_token_says(shop: Shop, office: LiveBackoffice) -> None:
    name = shop.settings.retailer
    assert httpx.post(f"{office.url}/v1/transactions", json=question("a")).status_code == 401
    with office.client(name, Scope.RESOLVE) as client:
        assert client.post("/v1/transactions", json=question("a")).status_code == 403
        assert client.get("/v1/verdicts/a", params={"retailer": "other"}).status_code == 404
    with office.client("other", Scope.SCORE) as client:
        assert client.post("/v1/transactions", params={"retailer": name}, json=question("a")).status_code == 404


def told(answer: Answer) -> tuple[object, ...]:
    """What is equal however often a transaction is asked about."""
    assert answer.verdict is not None
    return answer.source, answer.decision, answer.verdict.revision, answer.verdict.score


def basket(identity: str, amount: str = "50.00") -> TransactionRequest:
    return TransactionRequest(
        transaction_id=identity, event_time=datetime.now(UTC), currency="EUR", amount=Decimal(amount)
    )


def test_the_clients_get_the_same_answer_by_http_and_by_topics(shop: Shop, office: LiveBackoffice) -> None:
    shop.topics.publish_model()
    token = office.tokens.make(shop.settings.retailer, Scope.SCORE, Scope.RESOLVE)
    held, later = basket("a", "400"), basket("b")

    async def ask_all() -> tuple[Answer, Answer]:
        async with AsyncClient(office.url, token) as client, AsyncTopicClient(shop.settings) as topics:
            return await client.judge(held, budget_s=10), await topics.judge(held, budget_s=10)

    with shop.worker() as worker, Client(office.url, token) as client:
        worker.await_ready()
        first = client.judge(held, budget_s=10)
        assert (first.decision, first.source) == ("hold", "verdict")
        assert {told(each) for each in asyncio.run(ask_all())} == {told(first)}
        with TopicClient(shop.settings) as topics:
            assert told(topics.judge(held, budget_s=10)) == told(first)
            with pytest.raises(RequestRefusedError) as caught:
                topics.judge(basket("a", "401"), budget_s=10)
            assert (caught.value.status, caught.value.code) == (409, "conflict")
        ended = client.resolve("a", "3ds-1", "step_up_passed", wait_s=10)
        assert ended is not None
        assert ended == client.find_verdict("a", min_revision=2)
        assert worker.terminate() == 0
        without = client.judge(later, budget_s=0.3)
        assert (without.decision, without.verdict) == ("flag", None), (
            "the server's fallback, or the client's on a slow machine"
        )
    with Client("http://127.0.0.1:9", token, fallback=lambda _: "block") as lost:
        assert lost.judge(later, budget_s=0.05) == Answer("block", "client", None)
        with pytest.raises(UnansweredError):
            lost.find_verdict("a")


def test_the_sandbox_plays_outcomes_for_its_own_tokens_alone(shop: Shop, office: LiveBackoffice) -> None:
    name = shop.settings.retailer
    with Client(office.url, office.tokens.make(name, Scope.SCORE, sandbox=True), sandbox=True) as client:
        assert client.judge(basket("a"), force="block", budget_s=10).decision == "block"
        assert client.judge(basket("b"), force="timeout", budget_s=0.2).verdict is None
        with pytest.raises(RequestRefusedError):
            client.judge(basket("c"), force="conflict", budget_s=10)
    with office.client(name, Scope.SCORE) as real:
        assert real.post("/v1/sandbox/transactions", json=question("d")).status_code == 403
    assert shop.topics.read(TRANSACTIONS) == []


def test_the_guide_s_examples_do_what_it_says(shop: Shop, office: LiveBackoffice) -> None:
    name, text = shop.settings.retailer, (ROOT / "docs" / "checkout-http.md").read_text(encoding="utf-8")
    forced, asked, ended = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    sandbox = office.tokens.make(name, Scope.SCORE, sandbox=True)
    real = office.tokens.make(name, Scope.SCORE, Scope.RESOLVE)

    def run(command: list[str], token: str) -> str:
        environment = os.environ | {"DOOR_URL": office.url, "DOOR_TOKEN": token}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert json.loads(run(["bash", "-c", forced], sandbox))["decision"] == "hold"
    assert json.loads(run(["bash", "-c", asked.replace("budget_ms=80", "budget_ms=5000")], real))["decision"] in {
        "flag",
        "allow",
    }
    in_sandbox = ended.replace("/v1/verdicts", "/v1/sandbox/verdicts")
    assert json.loads(run(["bash", "-c", in_sandbox], sandbox))["decision"] == "allow"
    assert run([sys.executable, "-c", code], real).split()[1] in {"verdict", "fallback", "client"}


def test_a_shop_without_kafka_follows_every_verdict_and_an_operator_sees_what_went_wrong(
    shop: Shop, office: LiveBackoffice
) -> None:
    shop.topics.publish_model()
    shop.topics.sell(shop.topics.transaction("a"), shop.topics.transaction("b", currency="XXX"))
    with shop.worker() as worker, office.client(shop.settings.retailer, Scope.READ) as client:
        first = client.get("/v1/verdicts", params={"wait_ms": 30_000}).json()
        assert [each["transaction_id"] for each in first["verdicts"]] == ["a"]
        shop.topics.sell(shop.topics.transaction("c"))
        then = client.get("/v1/verdicts", params={"wait_ms": 30_000, "after": first["cursor"]}).json()
        assert [each["transaction_id"] for each in then["verdicts"]] == ["c"]
        assert client.get("/v1/verdicts", params={"after": "no cursor"}).status_code == 422
        counts = until(lambda: client.get("/v1/dead-letters/counts").json()["items"], "a dead letter that is counted")
        assert [(each["reason"], each["count"]) for each in counts] == [("currency_unknown", 1)]
        letters = client.get("/v1/dead-letters", params={"reason": "currency_unknown"}).json()["items"]
        assert [each["letter"]["key"] for each in letters] == ["b"]
        stages = {each["stage"] for each in client.get("/v1/latencies").json()["stages"]}
        assert {"model", "total"} <= stages
        assert sum(each["count"] for each in client.get("/v1/decisions").json()["items"]) == 2
        assert client.get("/v1/decisions", params={"since": "2026-01-01T00:00:00"}).status_code == 422
        assert client.get("/v1/alarms").json()["next"] is None
        assert httpx.get(f"{office.url}/ready").json()["ready"] is True
        assert worker.terminate() == 0
