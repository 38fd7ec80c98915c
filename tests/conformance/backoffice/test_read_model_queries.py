"""What the read model answers, on both databases."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backoffice.projection import entity_queries, operation_queries
from backoffice.projection.cursors import CursorError
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.results import CaseQuery, Entity
from backoffice.projection.store import ReadModelStore
from contract.clock import ManualClock
from contract.events import Origin
from contract.status.message import Condition, ProcessStatus
from support.read_model import (
    NOON,
    RETAILER,
    Feeder,
    make_alarm,
    make_label,
    make_letter,
    make_resolution,
    make_transaction,
    make_verdict,
    record,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def model(store: ReadModelStore) -> SqlReadModel:
    return SqlReadModel(store, ManualClock(NOON))


@pytest.fixture
def feeder(store: ReadModelStore) -> Feeder:
    return Feeder(store)


def tell_case(feeder: Feeder, name: str, *, amount: int = 10_000, score: float = 0.5, **verdict: Any) -> None:
    feeder.feed(record(make_transaction(name, amount_minor=amount)), record(make_verdict(name, score=score, **verdict)))


def names_of(page: Any) -> list[str]:
    return [each.transaction_id for each in page.items]


def all_names(model: SqlReadModel, query: CaseQuery, limit: int = 2) -> list[str]:
    names, after = [], None
    while True:
        page = model.list_cases(RETAILER, query, after=after, limit=limit)
        names += names_of(page)
        if page.next is None:
            return names
        after = page.next


def test_the_queue_begins_with_the_greatest_expected_loss_and_pages_leave_out_none(
    model: SqlReadModel, feeder: Feeder
) -> None:
    amounts = {"a": 100, "b": 90_000, "c": 500, "d": 500, "e": 7_000}
    for name, amount in amounts.items():
        tell_case(feeder, name, amount=amount)
    assert all_names(model, CaseQuery()) == ["b", "e", "c", "d", "a"]
    line = model.list_cases(RETAILER, CaseQuery()).items[0]
    assert (line.base_minor, line.expected_loss_minor, line.case) == (90_000, 45_000, "open")


def test_a_foreign_currency_counts_in_the_base_currency(model: SqlReadModel, feeder: Feeder) -> None:
    tell_case(feeder, "euro", amount=600)
    feeder.feed(record(make_transaction("dollar", currency="USD", amount_minor=1_000)), record(make_verdict("dollar")))
    feeder.feed(record(make_transaction("yen", currency="JPY")), record(make_verdict("yen")))
    assert [each.expected_loss_minor for each in model.list_cases(RETAILER, CaseQuery()).items] == [300, 250, 0]


def test_the_queue_is_filtered_by_decision_amount_and_entity(model: SqlReadModel, feeder: Feeder) -> None:
    tell_case(feeder, "small", amount=10)
    tell_case(feeder, "large", amount=5_000)
    tell_case(feeder, "flagged", amount=9_000, decision="flag", hold_until=None)
    feeder.feed(record(make_transaction("other", device="d-2")), record(make_verdict("other")))
    assert all_names(model, CaseQuery(decision="flag")) == ["flagged"]
    assert all_names(model, CaseQuery(amount_min_minor=5_000)) == ["other", "flagged", "large"]
    assert all_names(model, CaseQuery(entity=Entity("device", "d-2"))) == ["other"]
    assert all_names(model, CaseQuery(entity=Entity("customer", "d-2"))) == []


def test_by_time_left_holds_come_in_the_order_in_which_they_expire(model: SqlReadModel, feeder: Feeder) -> None:
    for name, minutes in (("later", 9), ("soon", 2), ("over", -1)):
        tell_case(feeder, name, hold_until=NOON + timedelta(minutes=minutes))
    tell_case(feeder, "flagged", decision="flag", hold_until=None)
    assert all_names(model, CaseQuery(order="time_left")) == ["over", "soon", "later"]
    assert all_names(model, CaseQuery(order="time_left", due_after=NOON)) == ["soon", "later"]


def test_what_is_allowed_degraded_or_resolved_is_no_open_case(model: SqlReadModel, feeder: Feeder) -> None:
    tell_case(feeder, "allowed", decision="allow", hold_until=None)
    tell_case(feeder, "degraded", revision=0, degraded=True)
    tell_case(feeder, "resolved")
    feeder.feed(record(make_resolution("resolved")))
    tell_case(feeder, "answered", revision=2, decision="allow", outcome="approved", hold_until=None)
    tell_case(feeder, "blocked", decision="block", hold_until=None)
    replayed = Origin(connector="orders", phase="snapshot", source="shop.orders", position="1")
    feeder.feed(record(make_transaction("history", origin=replayed)), record(make_verdict("history", late=True)))
    assert all_names(model, CaseQuery()) == ["blocked"]
    assert sorted(all_names(model, CaseQuery(state="resolved"))) == ["answered", "resolved"]
    assert all_names(model, CaseQuery(state="history")) == ["history"]
    assert [
        (each.state, each.decision, each.count, each.expected_loss_minor) for each in model.count_cases(RETAILER)
    ] == [
        ("history", "hold", 1, 5_000),
        ("open", "block", 1, 5_000),
    ]


def test_a_hold_that_expired_unseen_is_counted_until_somebody_resolves_it(model: SqlReadModel, feeder: Feeder) -> None:
    expired = {"revision": 2, "decision": "block", "outcome": "expired", "hold_until": None}
    for name, hours in (("early", 1), ("late", 3)):
        tell_case(feeder, name)
        feeder.feed(record(make_verdict(name, scored_at=NOON + hours * HOUR, **expired)))
    assert model.count_expired(RETAILER, NOON, NOON + 2 * HOUR) == 1
    assert model.count_expired(RETAILER, NOON, NOON + 4 * HOUR) == 2
    assert all_names(model, CaseQuery(state="expired", order="time_left")) == ["early", "late"]
    feeder.feed(record(make_resolution("early")))
    assert model.count_expired(RETAILER, NOON, NOON + 4 * HOUR) == 1


def test_a_cursor_of_another_queue_is_refused(model: SqlReadModel, feeder: Feeder) -> None:
    for name in "abc":
        tell_case(feeder, name)
    cursor = model.list_cases(RETAILER, CaseQuery(), limit=1).next
    for query in (CaseQuery(state="expired"), CaseQuery(order="time_left")):
        with pytest.raises(CursorError):
            model.list_cases(RETAILER, query, after=cursor)
    with pytest.raises(CursorError):
        model.list_alarms(RETAILER, after=cursor)


def test_the_feed_gives_every_revision_once_in_the_order_of_arrival(model: SqlReadModel, feeder: Feeder) -> None:
    end = model.find_feed_end(RETAILER)
    for at in range(5):
        feeder.feed(record(make_verdict(f"t-{at}"), offset=at))
    feeder.feed(record(make_verdict("t-0", revision=2), offset=9), record(make_verdict("t-1"), offset=10))
    seen, cursor = [], None
    while True:
        page = model.list_verdicts_after(RETAILER, cursor, limit=2)
        if not page.verdicts:
            break
        seen += [(each.transaction_id, each.revision) for each in page.verdicts]
        cursor = page.cursor
    assert seen == [(f"t-{at}", 1) for at in range(5)] + [("t-0", 2)]
    assert len(model.list_verdicts_after(RETAILER, end).verdicts) == 6
    assert model.list_verdicts_after(RETAILER, model.find_feed_end(RETAILER)).verdicts == ()


def test_a_number_of_the_feed_is_not_used_twice_when_its_verdict_was_erased(
    model: SqlReadModel, feeder: Feeder, store: ReadModelStore
) -> None:
    feeder.feed(record(make_verdict("t-1")))
    cursor = model.list_verdicts_after(RETAILER, None).cursor
    feeder.feed(record(make_verdict("t-1"), value=None))
    feeder = Feeder(store)
    feeder.feed(record(make_verdict("t-2")))
    assert [each.transaction_id for each in model.list_verdicts_after(RETAILER, cursor).verdicts] == ["t-2"]


def test_after_a_rebuild_the_feed_repeats_some_verdicts_and_leaves_out_none(
    model: SqlReadModel, feeder: Feeder, store: ReadModelStore
) -> None:
    minute = 60_000
    told = [record(make_verdict(f"t-{at}"), offset=at * 2 * minute) for at in range(6)]
    feeder.feed(*told[:4])
    cursor = model.list_verdicts_after(RETAILER, None).cursor
    store.clear(RETAILER)
    again = Feeder(store)
    again.feed(told[0])
    page = model.list_verdicts_after(RETAILER, cursor)
    assert (page.verdicts, page.cursor) == ((), cursor)  # not so far yet
    again.feed(told[5], told[3])
    again.feed(told[1], told[2], told[4])
    seen = [each.transaction_id for each in model.list_verdicts_after(RETAILER, cursor).verdicts]
    assert {"t-4", "t-5"} <= {*seen}
    assert "t-0" not in seen


def test_an_entity_s_history_goes_both_ways_in_time(model: SqlReadModel, feeder: Feeder) -> None:
    for at in range(-3, 4):
        feeder.feed(record(make_transaction(f"t{at}", event_time=NOON + at * HOUR, device="d-9" if at == 2 else "d-1")))
    device = Entity("device", "d-1")
    back = model.list_entity_history(RETAILER, device, at=NOON, limit=2)
    assert names_of(back) == ["t-1", "t-2"]
    assert names_of(model.list_entity_history(RETAILER, device, at=NOON, after=back.next)) == ["t-3"]
    on = model.list_entity_history(RETAILER, device, at=NOON, later=True, limit=2)
    assert names_of(on) == ["t0", "t1"]
    assert names_of(model.list_entity_history(RETAILER, device, at=NOON, later=True, after=on.next)) == ["t3"]


def test_a_token_of_the_key_before_finds_the_transaction_too(model: SqlReadModel, feeder: Feeder) -> None:
    feeder.feed(record(make_transaction(card="k2.new", aliases={"card": "k1.old", "strange": "x"})))
    for token in ("k2.new", "k1.old"):
        page = model.list_entity_history(RETAILER, Entity("card", token), at=NOON + HOUR)
        assert names_of(page) == ["t-1"]


def test_an_entity_is_summed_up_over_a_time(
    model: SqlReadModel, feeder: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(4):
        name = f"t-{at}"
        feeder.feed(
            record(make_transaction(name, event_time=NOON + at * HOUR)),
            record(make_verdict(name, decision="block" if at else "allow", event_time=NOON + at * HOUR)),
        )
    feeder.feed(record(make_label("t-1")), record(make_label("t-2"), offset=1))
    feeder.feed(record(make_label("t-2", fraud=False), offset=2))
    device = Entity("device", "d-1")
    summary = model.summarise_entity(RETAILER, device, since=NOON, until=NOON + 3 * HOUR)
    assert (summary.count, summary.amount_minor, summary.stopped, summary.frauds) == (3, 30_000, 2, 1)
    assert (summary.first, summary.last, summary.capped) == (NOON, NOON + 2 * HOUR, False)
    nothing = model.summarise_entity(RETAILER, Entity("device", "d-2"), since=NOON, until=NOON + HOUR)
    assert (nothing.count, nothing.amount_minor, nothing.first) == (0, 0, None)
    monkeypatch.setattr(entity_queries, "SUMMARY_MAX", 2)
    capped = model.summarise_entity(RETAILER, device, since=NOON, until=NOON + 9 * HOUR)
    assert (capped.count, capped.first, capped.capped) == (2, NOON + 2 * HOUR, True)


def test_neighbours_are_found_up_to_two_steps_and_no_further(model: SqlReadModel, feeder: Feeder) -> None:
    # c-1 - d-1 - c-2 - d-2 - c-3 - d-3
    for name, customer, device in (("a", "c-1", "d-1"), ("b", "c-2", "d-1"), ("c", "c-2", "d-2"), ("d", "c-3", "d-2")):
        feeder.feed(record(make_transaction(name, customer=customer, device=device)))
    feeder.feed(record(make_transaction("e", customer="c-3", device="d-3")), record(make_label("b")))
    one = model.find_neighbours(RETAILER, Entity("customer", "c-1"))
    assert [(each.entity, each.depth) for each in one.neighbours] == [(Entity("device", "d-1"), 1)]
    two = model.find_neighbours(RETAILER, Entity("customer", "c-1"), depth=2)
    assert [(each.entity.token, each.depth, each.frauds) for each in two.neighbours] == [("d-1", 1, 1), ("c-2", 2, 1)]
    assert two.transactions == ("a", "b")
    assert (Entity("device", "d-1"), Entity("customer", "c-2"), 1) in two.links
    assert not two.capped
    assert model.find_neighbours(RETAILER, Entity("customer", "c-1"), depth=9) == two


def test_a_busy_till_is_named_as_a_neighbour_and_not_looked_into(
    model: SqlReadModel, feeder: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_queries, "DEGREE_MAX", 3)
    feeder.feed(
        *(record(make_transaction(f"t-{at}", customer=f"c-{at}", device=f"d-{at}", terminal="till")) for at in range(5))
    )
    around = model.find_neighbours(RETAILER, Entity("customer", "c-0"), depth=2)
    found = {each.entity.token: each.opened for each in around.neighbours}
    assert found == {"d-0": True, "till": False}
    of_till = model.find_neighbours(RETAILER, Entity("terminal", "till"))
    assert of_till.capped
    assert len(of_till.transactions) == 3


def test_transactions_are_listed_by_their_time_with_pages(model: SqlReadModel, feeder: Feeder) -> None:
    for at in range(4):
        feeder.feed(record(make_transaction(f"t-{at}", event_time=NOON + at * HOUR)))
    page = model.list_transactions(RETAILER, since=NOON, until=NOON + 3 * HOUR, limit=2)
    assert names_of(page) == ["t-2", "t-1"]
    assert names_of(model.list_transactions(RETAILER, since=NOON, until=NOON + 3 * HOUR, after=page.next)) == ["t-0"]


def test_resolutions_come_with_what_was_asked_and_how_it_turned_out(model: SqlReadModel, feeder: Feeder) -> None:
    asked, label = make_verdict(), make_label(source="analyst", fraud=False)
    feeder.feed(record(make_transaction()), record(asked), record(make_resolution()), record(label))
    feeder.feed(record(make_verdict(revision=2, decision="allow", outcome="approved", hold_until=None)))
    feeder.feed(record(make_resolution("unknown")))
    page = model.list_resolved(RETAILER, since=NOON, until=NOON + HOUR)
    assert [(each.resolution, each.asked, each.line.labels) for each in page.items] == [
        (make_resolution(), asked, (label,))
    ]
    assert page.items[0].line.verdict is not None
    assert page.items[0].line.verdict.decision == "allow"
    assert model.list_resolved(RETAILER, since=NOON + HOUR, until=NOON + 2 * HOUR).items == ()


def test_resolutions_are_paged(model: SqlReadModel, feeder: Feeder) -> None:
    for at in range(3):
        feeder.feed(record(make_verdict(f"t-{at}")), record(make_resolution(f"t-{at}")))
    page = model.list_resolved(RETAILER, since=NOON, until=NOON + HOUR, limit=2)
    rest = model.list_resolved(RETAILER, since=NOON, until=NOON + HOUR, after=page.next)
    assert [each.resolution.transaction_id for each in (*page.items, *rest.items)] == ["t-2", "t-1", "t-0"]


def test_alarms_and_dead_letters_are_listed_newest_first_and_counted(model: SqlReadModel, feeder: Feeder) -> None:
    for at in range(3):
        feeder.feed(
            record(make_alarm(f"alarm-{at}", raised_at=NOON + at * HOUR)),
            record(make_letter(failed_at=NOON + at * HOUR, reason="conflict" if at else "malformed"), offset=at),
        )
    feeder.feed(record(make_letter(part="trainer", failed_at=NOON), offset=7))
    page = model.list_alarms(RETAILER, limit=2)
    assert [each.alarm_id for each in page.items] == ["alarm-2", "alarm-1"]
    assert [each.alarm_id for each in model.list_alarms(RETAILER, after=page.next).items] == ["alarm-0"]
    counts = [(each.reason, each.part, each.count, each.newest) for each in model.count_dead_letters(RETAILER)]
    assert counts == [
        ("conflict", "scoring", 2, NOON + 2 * HOUR),
        ("malformed", "scoring", 1, NOON),
        ("malformed", "trainer", 1, NOON),
    ]
    letters = model.list_dead_letters(RETAILER, reason="conflict", limit=1)
    more = model.list_dead_letters(RETAILER, reason="conflict", after=letters.next)
    assert [each.name for each in (*letters.items, *more.items)] == ["0:2", "0:1"]
    assert [each.name for each in model.list_dead_letters(RETAILER, part="trainer").items] == ["0:7"]


def status(process: str, sent_at: datetime) -> ProcessStatus:
    return ProcessStatus(
        retailer=RETAILER,
        part="scoring",
        process=process,
        version="0.1.0",
        started_at=NOON,
        sent_at=sent_at,
        every_s=5.0,
        condition=Condition(activity="scoring", healthy=True),
    )


def test_of_each_process_the_newest_heartbeat_is_kept(model: SqlReadModel, feeder: Feeder) -> None:
    newest = status("a-1", NOON + HOUR)
    feeder.feed(record(newest, key="scoring/a-1", offset=5))
    feeder.feed(
        record(status("a-1", NOON), key="scoring/a-1", offset=4), record(status("b-1", NOON), key="b", offset=1)
    )
    heard = model.list_processes(RETAILER, NOON)
    assert [each.status for each in heard] == [newest, status("b-1", NOON)]
    assert [each.status.process for each in model.list_processes(RETAILER, heard[0].at)] == ["a-1"]


def test_latencies_are_of_first_answers_that_somebody_waited_for(
    model: SqlReadModel, feeder: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 101):
        feeder.feed(record(make_verdict(f"t-{at}", latency_ms=at, stage_us={"model": 10 * at, "decide": 1})))
    degraded = {"revision": 0, "degraded": True, "score": None, "model_version": None}
    feeder.feed(
        record(make_verdict("slow", latency_ms=50, **degraded)), record(make_verdict("slow", latency_ms=90_000))
    )
    feeder.feed(record(make_verdict("late", late=True, latency_ms=90_000)))
    feeder.feed(record(make_verdict("t-1", revision=2, latency_ms=90_000)))
    measured = model.measure_latencies(RETAILER, NOON, NOON + HOUR)
    stages = {each.stage: each for each in measured.stages}
    assert (stages["total"].count, stages["total"].p50_us) == (101, 50_000)
    assert 98_000 < stages["total"].p99_us <= 100_000
    assert abs(stages["model"].p50_us - 500) <= 50
    assert not measured.sampled
    monkeypatch.setattr(operation_queries, "SAMPLE_MAX", 40)
    sampled = model.measure_latencies(RETAILER, NOON, NOON + HOUR)
    assert (sampled.sampled, sampled.verdicts) == (True, 102)
    assert model.measure_latencies(RETAILER, NOON + HOUR, NOON + 2 * HOUR).stages == ()


def test_a_series_of_too_many_steps_is_refused(model: SqlReadModel) -> None:
    with pytest.raises(ValueError, match="steps"):
        model.count_decisions(RETAILER, NOON, NOON + timedelta(days=30))
    assert model.count_decisions(RETAILER, NOON, NOON + timedelta(days=30), step_minutes=60) == ()


def test_nothing_is_known_of_what_was_never_told(model: SqlReadModel, feeder: Feeder) -> None:
    feeder.feed(record(make_label("label-alone")))
    assert model.find_transaction(RETAILER, "label-alone") is None
    assert model.find_transaction(RETAILER, "t-1") is None
    assert model.count_cases(RETAILER) == ()
    assert model.list_verdicts_after("nobody", model.find_feed_end("nobody")).verdicts == ()


def list_plan(store: ReadModelStore, query: CaseQuery, after: str | None = None) -> list[str]:
    """How SQLite finds the ids of a page."""
    statements: list[tuple[str, Any]] = []
    engine = store._database._engine

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    SqlReadModel(store, ManualClock(NOON)).list_cases(RETAILER, query, after=after)
    sa.event.remove(engine, "before_cursor_execute", note)
    statement, parameters = statements[0]
    with store.begin() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


@pytest.mark.parametrize(
    "query", [CaseQuery(), CaseQuery(decision="block", amount_min_minor=5), CaseQuery(state="expired")]
)
def test_a_page_of_the_queue_is_found_in_an_index_without_sorting(
    store: ReadModelStore, feeder: Feeder, query: CaseQuery
) -> None:
    if store._database._engine.dialect.name != "sqlite":
        pytest.skip("the plan of a small table says nothing on PostgreSQL")
    assert list_plan(store, query) == [
        "SEARCH transactions USING COVERING INDEX cases_by_loss (retailer=? AND case_state=?)"
    ]
    for name in "ab":
        tell_case(feeder, name)
    cursor = SqlReadModel(store, ManualClock(NOON)).list_cases(RETAILER, CaseQuery(), limit=1).next
    if query.state == "open":
        assert all("SCAN" not in step and "B-TREE" not in step for step in list_plan(store, query, cursor))
    assert list_plan(store, CaseQuery(order="time_left", due_after=NOON)) == [
        "SEARCH transactions USING COVERING INDEX cases_by_time (retailer=? AND case_state=? AND due_ms>?)"
    ]
