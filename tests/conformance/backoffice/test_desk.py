"""The desk over HTTP: the queue, one case, decisions that are applied once, entities, lists, figures, and what nobody else may see."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backoffice.accounts.permissions import Role
from backoffice.cases.outbox import EVER_S
from backoffice.cases.wishes import DecisionAsked
from backoffice.database import open_database
from runtime.database import Database
from support.desk import person
from support.desk_office import DeskOffice, TestClient, open_office
from support.live_worker import until
from support.read_model import NOON, RETAILER, make_label, make_resolution, make_transaction, make_verdict

CARD = "4111 1111 1111 1111"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'backoffice.db'}")
    yield opened
    opened.close()


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Iterator[DeskOffice]:
    with open_office(database, f"sqlite:///{tmp_path / 'read-model.db'}") as office:
        yield office


@pytest.fixture
def ann(office: DeskOffice) -> TestClient:
    return office.client("ann")


@pytest.fixture
def bob(office: DeskOffice) -> TestClient:
    return office.client("bob")


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["line"]["transaction_id"] for each in answer.json()["cases"]]


def code(answer: Any) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


def pointers(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(each["pointer"], each["code"]) for each in answer.json()["errors"]]


def test_the_queue_shows_what_presses_most_and_can_be_filtered(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("small", of={"amount_minor": 4_000, "customer": "c-9"})
    office.open_case("large", of={"amount_minor": 9_000}, decision="flag", hold_until=None)
    office.open_case("ends soon", of={"amount_minor": 5_000}, hold_until=NOON + timedelta(seconds=90))
    assert ids(ann.get("/v1/cases")) == ["ends soon", "large", "small"]
    assert ids(ann.get("/v1/cases?order=loss")) == ["large", "ends soon", "small"]
    assert ids(ann.get("/v1/cases?order=time_left")) == ["ends soon", "small"]
    assert ids(ann.get("/v1/cases?decision=flag")) == ["large"]
    assert ids(ann.get("/v1/cases?entity_kind=customer&entity_token=c-9")) == ["small"]
    first = ann.get("/v1/cases?order=loss&limit=2").json()
    assert ids(ann.get("/v1/cases", params={"order": "loss", "after": first["next"]})) == ["small"]
    assert first["cases"][1]["left_s"] == 30
    assert code(ann.get("/v1/cases?order=loss&after=nonsense"))[0] == 422


def test_two_analysts_who_race_for_the_next_case_get_two(office: DeskOffice) -> None:
    for number in range(6):
        office.open_case(f"t{number}")
    people = [office.client(f"p{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda person: person.post("/v1/cases/next").json()["case"]["line"], people))
    assert sorted(each["transaction_id"] for each in taken) == [f"t{number}" for number in range(6)]
    assert people[0].post("/v1/cases/next").status_code == 204


def test_who_takes_a_case_keeps_it_from_others_until_it_is_given_back(
    office: DeskOffice, ann: TestClient, bob: TestClient
) -> None:
    office.open_case("a")
    assert ann.put("/v1/cases/a/lock").json()["by"] == "ann"
    refused = bob.put("/v1/cases/a/lock")
    assert code(refused) == (409, "locked")
    assert refused.json()["detail"] == "ann has this case until 12:11:00 UTC"
    assert code(bob.post("/v1/cases/a/decision", json={"outcome": "a"})) == (409, "locked")
    assert bob.post("/v1/cases/next").status_code == 204
    assert bob.get("/v1/cases").json()["cases"][0]["lock"]["by"] == "ann"
    assert bob.delete("/v1/cases/a/lock").status_code == 204
    assert code(bob.put("/v1/cases/a/lock")) == (409, "locked")
    assert ann.delete("/v1/cases/a/lock").status_code == 204
    assert bob.put("/v1/cases/a/lock").status_code == 200


def test_one_call_decides_notes_snoozes_and_lists(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a", rules=["amount-high"])
    asked = {
        "outcome": "a",
        "note": "asked her on the phone",
        "snooze": {"rule": "amount-high", "kind": "customer"},
        "list": {"list": "watch", "kind": "device"},
    }
    answer = ann.post("/v1/cases/a/decision", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["verdict"]["revision"], told["verdict"]["decision"]) == (2, "allow")
    assert (told["decision"]["state"], told["decision"]["revision"]) == ("applied", 2)
    assert sorted(mark["state"] for mark in told["marks"]) == ["applied", "applied"]
    [snooze] = ann.get("/v1/snoozes").json()["snoozes"]
    assert (snooze["rule"], snooze["entity"]["token"], snooze["comment"]) == ("amount-high", "c-1", asked["note"])
    [entry] = ann.get("/v1/lists").json()["entries"]
    assert (entry["list"], entry["entity"]["token"], entry["by"]) == ("watch", "d-1", "ann")
    [sent] = office.worker.received
    assert (sent.outcome, sent.actor, sent.resolution_id) == (
        "approved",
        "ann",
        f"desk-{told['decision']['decision_id']}",
    )
    view = ann.get("/v1/cases/a").json()
    assert [each["text"] for each in view["work"]["notes"]] == [asked["note"]]
    actions = {entry.action for entry in office.trail.list_entries(RETAILER)}
    assert {"cases.decide", "snoozes.set", "lists.set"} <= actions
    assert office.trail.verify(RETAILER).holds


def test_a_repeated_request_is_answered_as_the_first_time_and_another_under_its_key_refused(
    office: DeskOffice, ann: TestClient, bob: TestClient
) -> None:
    office.open_case("a")
    office.open_case("b")
    key = {"Idempotency-Key": "one"}
    first = ann.post("/v1/cases/a/decision", json={"outcome": "b"}, headers=key)
    again = ann.post("/v1/cases/a/decision", json={"outcome": "b"}, headers=key)
    assert first.status_code == 200
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (200, first.json(), "true")
    assert len(office.worker.received) == 1
    assert pointers(ann.post("/v1/cases/a/decision", json={"outcome": "a"}, headers=key)) == [
        ("Idempotency-Key", "reused")
    ]
    assert pointers(ann.post("/v1/cases/b/decision", json={"outcome": "b"}, headers=key)) == [
        ("Idempotency-Key", "reused")
    ]
    assert bob.post("/v1/cases/b/decision", json={"outcome": "b"}, headers=key).status_code == 200
    office.clock.advance(24 * 3600 + 1)
    assert code(ann.post("/v1/cases/a/decision", json={"outcome": "a"}, headers=key)) == (409, "decided")


def test_a_case_that_is_decided_says_by_whom(office: DeskOffice, ann: TestClient, bob: TestClient) -> None:
    office.open_case("a")
    ann.post("/v1/cases/a/decision", json={"outcome": "approve"})
    refused = bob.post("/v1/cases/a/decision", json={"outcome": "block"})
    assert code(refused) == (409, "decided")
    assert "ann decided this case: approved" in refused.json()["detail"]
    office.feed(make_resolution("a", actor="carl"), make_verdict("a", revision=2, decision="allow", outcome="approved"))
    assert "carl decided" in bob.put("/v1/cases/a/lock").json()["detail"]
    office.feed(make_transaction("fine"), make_verdict("fine", decision="allow", hold_until=None))
    assert code(ann.post("/v1/cases/fine/decision", json={"outcome": "a"})) == (409, "no_case")


def test_a_resolution_from_elsewhere_that_was_faster_wins(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a")
    office.worker.first["a"] = make_resolution("a", resolution_id="3ds-1", actor="checkout")
    refused = ann.post("/v1/cases/a/decision", json={"outcome": "b"})
    assert code(refused) == (409, "conflict")
    [made] = ann.get("/v1/cases/a").json()["work"]["decisions"]
    assert (made["state"], made["reason"]) == ("refused", "conflict")


def test_a_version_that_is_old_decides_nothing(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a")
    seen = ann.get("/v1/cases/a").headers["etag"]
    office.feed(make_verdict("a", revision=2, decision="block", outcome="expired", hold_until=None))
    asked = {"outcome": "a"}
    assert code(ann.post("/v1/cases/a/decision", json=asked, headers={"If-Match": seen})) == (412, "changed")
    now = ann.get("/v1/cases/a").headers["etag"]
    assert ann.post("/v1/cases/a/decision", json=asked, headers={"If-Match": now}).status_code == 200


@pytest.mark.parametrize("trouble", ["away", "silent"])
def test_a_decision_without_an_answer_is_taken_and_sent_until_it_is_applied(
    office: DeskOffice, ann: TestClient, trouble: str
) -> None:
    office.open_case("a")
    setattr(office.worker, trouble, True)
    answer = ann.post("/v1/cases/a/decision", json={"outcome": "a"})
    assert (answer.status_code, answer.json()["decision"]["state"], answer.json()["verdict"]) == (202, "pending", None)
    setattr(office.worker, trouble, False)
    office.clock.advance(60)
    asyncio.run(office.outbox.send_pending())
    [made] = ann.get("/v1/cases/a").json()["work"]["decisions"]
    assert (made["state"], made["revision"]) == ("applied", 2)
    asyncio.run(office.outbox.send_pending(EVER_S))
    assert len({each.resolution_id for each in office.worker.received}) == 1


def test_what_was_decided_before_the_process_died_is_sent_by_the_next_one(
    office: DeskOffice, database: Database, tmp_path: Path
) -> None:
    office.open_case("a")
    desk = office.app.state.services.retailers[RETAILER].desk
    desk.decide(person("ann", retailer=RETAILER), "a", DecisionAsked(outcome="b"))  # and dies before anything is sent
    with open_office(database, f"sqlite:///{tmp_path / 'read-model.db'}") as following:
        with following.client("ann") as ann:  # starts the application, and with it the outbox
            until(
                lambda: ann.get("/v1/cases/a").json()["work"]["decisions"][0]["state"] == "applied",
                "an applied decision",
            )
        assert [each.outcome for each in following.worker.received] == ["rejected"]


def test_lists_that_cannot_be_written_now_are_written_later(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a")
    office.marks.away = True
    asked = {"outcome": "b", "note": "ring", "list": {"list": "deny", "kind": "customer"}}
    answer = ann.post("/v1/cases/a/decision", json=asked)
    assert (answer.status_code, answer.json()["marks"][0]["state"]) == (200, "pending")
    office.marks.away = False
    asyncio.run(office.outbox.send_pending())
    assert [entry.list for entry in office.marks.entries.values()] == ["deny"]


def test_a_snooze_without_room_is_refused_and_the_decision_stands(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a")
    office.marks.full = True
    asked = {"outcome": "a", "note": "known", "snooze": {"rule": "amount-high", "kind": "customer"}}
    answer = ann.post("/v1/cases/a/decision", json=asked)
    [mark] = answer.json()["marks"]
    assert (answer.status_code, mark["state"], mark["detail"]) == (
        200,
        "refused",
        "8 rules are snoozed for this card already",
    )


def test_every_fault_of_a_decision_is_named_and_nothing_is_written(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("a")
    asked = {
        "outcome": "a",
        "note": f"card {CARD}",
        "snooze": {"rule": "amount-high", "kind": "card", "comment": "x"},
        "list": {"list": "deny", "kind": "customer", "expires_at": "2026-11-01T12:00:00Z"},
    }
    answer = ann.post("/v1/cases/a/decision", json=asked)
    assert pointers(answer) == [
        ("/note", "card_number"),
        ("/snooze/kind", "not_named"),
        ("/list/expires_at", "past"),
        ("/list/reason", "card_number"),
    ]
    assert "4111" not in answer.text
    assert pointers(ann.post("/v1/cases/a/decision", json={"outcome": "maybe"})) == [("/outcome", "field_invalid")]
    assert ann.get("/v1/cases/a").json()["work"]["decisions"] == []
    assert office.worker.received == []


def test_all_open_cases_of_one_entity_are_decided_at_once(office: DeskOffice, ann: TestClient, bob: TestClient) -> None:
    for number in range(3):
        office.open_case(f"ring{number}", of={"device": "d-7"})
    office.open_case("other", of={"device": "d-8"})
    bob.put("/v1/cases/ring1/lock")
    asked = {"outcome": "b", "note": "a ring", "entity": {"kind": "device", "token": "d-7"}}
    answer = ann.post("/v1/cases/decisions", json=asked, headers={"Idempotency-Key": "ring"})
    items = {each["transaction_id"]: (each["state"], each["code"]) for each in answer.json()["items"]}
    assert items == {"ring0": ("applied", None), "ring1": ("refused", "locked"), "ring2": ("applied", None)}
    named = {"outcome": "b", "transaction_ids": ["ring0", "nowhere", "other", "other"]}
    items = {
        each["transaction_id"]: (each["state"], each["code"])
        for each in ann.post("/v1/cases/decisions", json=named).json()["items"]
    }
    assert items == {"ring0": ("refused", "decided"), "nowhere": ("refused", "unknown"), "other": ("applied", None)}
    assert pointers(ann.post("/v1/cases/decisions", json={"outcome": "b"})) == [("/transaction_ids", "field_missing")]
    many = {"outcome": "b", "transaction_ids": [str(number) for number in range(101)]}
    assert pointers(ann.post("/v1/cases/decisions", json=many)) == [("/transaction_ids", "field_invalid")]


def test_a_case_tells_all_that_one_screen_needs(office: DeskOffice, ann: TestClient) -> None:
    office.open_case("before", of={"event_time": NOON - timedelta(hours=2)})
    office.feed(
        make_resolution("before"),
        make_verdict("before", revision=2, decision="allow", outcome="approved", hold_until=None),
        make_label("before", label_time=NOON - timedelta(hours=1)),
    )
    office.open_case("a")
    ann.put("/v1/lists/customer/c-1", json={"list": "watch", "reason": "new", "expires_at": "2099-01-01T00:00:00Z"})
    office.client("root", Role.ADMIN).put("/v1/lists/customer/c-1", json={"list": "watch", "reason": "new"})
    view = ann.get("/v1/cases/a").json()
    [customer] = [each for each in view["entities"] if each["entity"]["kind"] == "customer"]
    assert (customer["hour"]["count"], customer["day"]["count"], customer["day"]["frauds"]) == (1, 2, 1)
    assert (customer["listed"]["list"], customer["listed"]["by"]) == ("watch", "root")
    [earlier] = view["earlier"]
    assert (earlier["transaction_id"], earlier["outcome"], earlier["fraud"], earlier["right"]) == (
        "before",
        "approved",
        True,
        False,
    )
    assert sorted(earlier["shares"]) == ["customer", "device"]
    ann.post("/v1/cases/a/notes", json={"text": "asked"})
    told = [(each["kind"], each["by"]) for each in ann.get("/v1/cases/a").json()["timeline"]]
    assert told == [("transaction", None), ("verdict", None), ("note", "ann")]


def test_figures_say_how_often_decisions_were_right_and_how_long_they_took(
    office: DeskOffice, ann: TestClient, bob: TestClient
) -> None:
    for identity in ("a", "b", "c"):
        office.open_case(identity)
    ann.put("/v1/cases/a/lock")
    office.clock.advance(30)
    for who, identity, key in ((ann, "a", "a"), (ann, "b", "b"), (bob, "c", "b")):
        assert who.post(f"/v1/cases/{identity}/decision", json={"outcome": key}).status_code == 200
    office.feed(*office.worker.received)
    office.clock.advance(86_400)
    for identity in ("a", "b"):
        office.feed(make_label(identity, label_time=office.clock.now()))
        office.feed(make_label(identity, fraud=False, source="analyst", label_time=office.clock.now()))
    office.open_case("unseen")
    office.feed(make_verdict("unseen", revision=2, decision="block", outcome="expired", hold_until=None))
    all_of_it = ann.get("/v1/desk").json()
    assert (all_of_it["decided"], all_of_it["approved"], all_of_it["rejected"]) == (3, 1, 2)
    assert (all_of_it["judged"], all_of_it["right"], all_of_it["hit_rate"]) == (2, 1, 0.5)
    assert (all_of_it["median_handling_s"], all_of_it["expired_unseen"]) == (30, 1)
    own = bob.get("/v1/desk?own=true").json()
    assert (own["by"], own["decided"], own["judged"], own["hit_rate"]) == ("bob", 1, 0, None)
    assert pointers(ann.get("/v1/desk?since=2026-05-01T00:00:00")) == [("?since", "time_zone")]


def test_a_raw_value_becomes_a_token_and_is_kept_nowhere(
    office: DeskOffice, ann: TestClient, database: Database
) -> None:
    office.open_case("a", of={"card": f"k1.card-{len(CARD)}"})
    found = ann.post("/v1/entities/lookup", json={"kind": "card", "value": CARD})
    assert found.json() == {"entity": {"kind": "card", "token": "k1.card-19"}, "known": True}
    assert pointers(ann.post("/v1/entities/lookup", json={"kind": "customer", "value": CARD})) == [
        ("/value", "card_number")
    ]
    assert pointers(ann.post("/v1/entities/lookup", json={"kind": "ip", "value": "x"})) == [("/value", "field_invalid")]
    assert pointers(ann.post("/v1/entities/lookup", json={"kind": "shoe", "value": "x"})) == [("/kind", "unknown")]
    until = "2026-05-10T00:00:00Z"
    for answer in (
        ann.post("/v1/cases/a/notes", json={"text": CARD}, headers={"Idempotency-Key": CARD}),
        ann.put(f"/v1/lists/card/{CARD}", json={"list": "deny", "reason": CARD, "expires_at": until}),
        ann.put(f"/v1/snoozes/amount-high/card/{CARD}", json={"comment": CARD, "until": until}),
    ):
        assert answer.status_code == 422
        assert "4111" not in answer.text
    entry = office.trail.list_entries(RETAILER)[0]
    assert (entry.action, entry.object, entry.who_name) == ("entities.look_up", "card:k1.card-19", "ann")
    with database.begin() as connection:
        for table in sa.inspect(connection).get_table_names():
            assert "4111" not in str(connection.execute(sa.text(f"SELECT * FROM {table}")).all())


def test_an_entity_tells_its_history_both_ways_and_its_neighbours(office: DeskOffice, ann: TestClient) -> None:
    for hours in (3, 2, 1):
        office.open_case(f"h{hours}", of={"event_time": NOON - timedelta(hours=hours), "device": f"d-{hours}"})
    back = ann.get("/v1/entities/customer/c-1/history?limit=2").json()
    assert [each["transaction_id"] for each in back["transactions"]] == ["h1", "h2"]
    older = ann.get("/v1/entities/customer/c-1/history", params={"limit": 2, "after": back["next"]}).json()
    assert [each["transaction_id"] for each in older["transactions"]] == ["h3"]
    at = {"at": (NOON - timedelta(hours=2)).isoformat(), "later": "true"}
    later = ann.get("/v1/entities/customer/c-1/history", params=at).json()
    assert [each["transaction_id"] for each in later["transactions"]] == ["h2", "h1"]
    near = ann.get("/v1/entities/device/d-1/neighbours?depth=2").json()["neighbours"]
    assert {(each["entity"]["token"], each["depth"]) for each in near} == {("c-1", 1), ("d-2", 2), ("d-3", 2)}
    assert ann.get("/v1/entities/customer/c-1").json()["day"]["count"] == 3
    assert ann.get("/v1/entities/shoe/x").status_code == 404
    assert ann.get("/v1/entities/device/d-1/neighbours?depth=3").status_code == 422


def test_lists_and_snoozes_are_short_for_analysts_and_every_change_is_written_down(
    office: DeskOffice, ann: TestClient
) -> None:
    root = office.client("root", Role.ADMIN)
    lists, snoozes = "/v1/lists/card/k1.x", "/v1/snoozes/amount-high/card/k1.x"
    assert pointers(ann.put(lists, json={"list": "deny", "reason": "ring"})) == [("/expires_at", "missing")]
    far = (office.clock.now() + timedelta(days=31)).isoformat()
    assert pointers(ann.put(snoozes, json={"comment": "known", "until": far})) == [("/until", "too_far")]
    assert root.put(lists, json={"list": "deny", "reason": "ring"}).status_code == 200
    assert root.put(snoozes, json={"comment": "known", "until": far}).status_code == 200
    assert ann.delete(lists).status_code == 204
    assert ann.delete(lists).status_code == 404
    assert ann.delete(snoozes).status_code == 204
    assert ann.delete(snoozes).status_code == 404
    told = [(entry.action, entry.who_name, entry.outcome) for entry in office.trail.list_entries(RETAILER)]
    assert told == [
        ("snoozes.set", "ann", "done"),
        ("lists.set", "ann", "done"),
        ("snoozes.set", "root", "done"),
        ("lists.set", "root", "done"),
    ]
    office.marks.away = True
    assert root.put(lists, json={"list": "deny", "reason": "ring"}).status_code == 503
    assert office.trail.list_entries(RETAILER)[0].outcome == "failed"


def test_a_viewer_writes_nothing_and_another_retailer_s_case_does_not_exist(office: DeskOffice) -> None:
    office.open_case("a")
    viewer, stranger = office.client("eve", Role.VIEWER), office.client("sam", retailer="other")
    writes = [
        ("POST", "/v1/cases/next", None),
        ("PUT", "/v1/cases/a/lock", None),
        ("DELETE", "/v1/cases/a/lock", None),
        ("POST", "/v1/cases/a/notes", {"text": "x"}),
        ("POST", "/v1/cases/a/decision", {"outcome": "a"}),
        ("POST", "/v1/cases/decisions", {"outcome": "a", "transaction_ids": ["a"]}),
        ("PUT", "/v1/lists/card/x", {"list": "deny", "reason": "x"}),
        ("DELETE", "/v1/lists/card/x", None),
        ("PUT", "/v1/snoozes/r/card/x", {"comment": "x", "until": "2026-05-02T00:00:00Z"}),
        ("DELETE", "/v1/snoozes/r/card/x", None),
    ]
    for method, path, body in writes:
        assert viewer.request(method, path, json=body).status_code == 403, path
        assert stranger.request(method, path, json=body, params={"retailer": RETAILER}).status_code == 404, path
    assert viewer.get("/v1/cases/a").status_code == 200
    for path in ("/v1/cases/a", "/v1/cases/nowhere"):
        assert stranger.get(path).status_code == 404
    assert stranger.put("/v1/cases/a/lock").status_code == 404
    assert stranger.post("/v1/cases/a/decision", json={"outcome": "a"}).status_code == 404
    assert ids(stranger.get("/v1/cases")) == []
    assert office.worker.received == []
