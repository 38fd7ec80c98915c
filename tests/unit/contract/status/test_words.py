"""A process's status in words."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from contract.status.message import Condition, Lag, ProcessStatus, Progress, build_key
from contract.status.words import (
    SHOWN_FOR_S,
    Heard,
    describe_condition,
    describe_process,
    format_span,
    judge_state,
    list_shown,
    name_process,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
WELL = Condition(activity="collecting", healthy=True)


def heard(
    process: str = "host-1", *, part: str = "trainer", age_s: float = 0.0, stopped: bool = False, now: Condition = WELL
) -> Heard:
    status = ProcessStatus(
        retailer="acme", part=part, process=process, version="1", started_at=NOON - timedelta(hours=5), sent_at=NOON,
        every_s=5.0, condition=now, stopped=stopped,
    )  # fmt: skip
    return Heard(status, NOON - timedelta(seconds=age_s))


def reading(**changes: object) -> Condition:
    progress = replace(Progress(name="orders", rows=620, rows_total=1000, rows_per_s=1.5, left_s=253.0), **changes)
    return Condition(activity="reading", healthy=True, progress=progress)


def scoring(**changes: object) -> Condition:
    condition = Condition(activity="scoring", healthy=True, partitions=list(range(6)), lag=Lag(records=9, seconds=0.2))
    return replace(condition, **changes)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (reading(), "reading orders, 62 %, about 4 min left"),
        (reading(tables_after=1), "reading orders, 62 %, about 4 min left, then 1 more table"),
        (reading(tables_after=2, left_s=None), "reading orders, 62 %, then 2 more tables"),
        (reading(rows=1000, left_s=None), "reading orders, 100 %"),
        (reading(rows=1001, left_s=None), "reading orders, 1,001 rows so far"),
        (reading(rows_total=None, left_s=None), "reading orders, 620 rows so far"),
        (reading(rows=0, rows_total=0, left_s=None), "reading orders, 0 rows so far"),
        (reading(name=""), "reading the file, 62 %, about 4 min left"),
        (Condition(activity="streaming", healthy=True, lag=Lag(seconds=0.8)), "streaming, 0.8 s behind"),
        (Condition(activity="streaming", healthy=True, lag=Lag(seconds=0.0)), "streaming, up to date"),
        (Condition(activity="streaming", healthy=True, lag=Lag(seconds=400.0)), "streaming, 7 min behind"),
        (Condition(activity="streaming", healthy=True, position="binlog.000007:4"), "streaming"),
        (
            Condition(activity="streaming", healthy=False, reasons=["the source is silent", "look"]),
            "streaming: the source is silent; look",
        ),
        (scoring(), "6 partitions, 0.2 s behind, ready"),
        (scoring(partitions=[3]), "1 partition, 0.2 s behind, ready"),
        (scoring(partitions=[], lag=Lag(records=0)), "no partition, others have them all, up to date, ready"),
        (scoring(breaker_open=True), "6 partitions, 0.2 s behind, breaker open, ready"),
        (scoring(breaker_open=False), "6 partitions, 0.2 s behind, ready"),
        (
            scoring(partitions=None, lag=None, healthy=False, reasons=["no model is loaded"]),
            "waiting for partitions, not ready: no model is loaded",
        ),
        (Condition(activity="collecting", healthy=True, lag=Lag(records=1234)), "collecting, 1,234 records behind"),
        (
            Condition(activity="taking_part", healthy=True, position="approved, round 4"),
            "taking part, approved, round 4",
        ),
        (Condition(activity="invented_later", healthy=True), "invented later"),
    ],
)
def test_a_condition_is_told_in_words(condition: Condition, words: str) -> None:
    assert describe_condition(condition) == words


def test_a_process_that_says_nothing_more_is_gone_after_four_heartbeats() -> None:
    assert judge_state(heard(age_s=20.0), NOON) == "running"
    assert judge_state(heard(age_s=20.1), NOON) == "gone"
    assert describe_process(heard(age_s=40.0), NOON) == "gone: last heard of 40 s ago"


def test_a_process_that_ended_in_order_is_never_gone_and_says_why_it_ended() -> None:
    assert describe_process(heard(age_s=400.0, stopped=True), NOON) == "stopped 7 min ago"
    dead = Condition(activity="streaming", healthy=False, reasons=["binlog.000031 is purged"])
    assert (
        describe_process(heard(age_s=7.0, stopped=True, now=dead), NOON) == "stopped 7 s ago: binlog.000031 is purged"
    )


def test_a_reader_whose_clock_is_behind_sees_processes_run() -> None:
    assert describe_process(heard(age_s=-300.0), NOON) == "collecting"
    assert describe_process(heard(age_s=-300.0, stopped=True), NOON) == "stopped 0 s ago"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90.0, "2 min"), (5399.0, "90 min"), (5400.0, "2 h"), (129_600.0, "2 days")],
)
def test_a_span_is_told_in_the_unit_that_people_use(seconds: float, words: str) -> None:
    assert format_span(seconds) == words


def test_a_connector_goes_by_its_name_and_everybody_else_by_the_process() -> None:
    assert name_process(heard("host-1", part="connector:orders").status) == "connector orders"
    assert name_process(heard("host-1", part="scoring").status) == "scoring host-1"


def test_a_key_names_one_process() -> None:
    assert build_key(heard("host-1", part="connector:orders").status) == b"connector:orders/host-1"


def names(everyone: list[Heard]) -> list[str]:
    return [one.status.process for one in list_shown(everyone, NOON)]


def test_who_ended_long_ago_is_shown_only_where_nobody_does_the_work() -> None:
    old, older = heard("old", age_s=SHOWN_FOR_S + 1), heard("older", age_s=SHOWN_FOR_S + 2, stopped=True)
    assert names([older, old]) == ["old"]
    assert names([older, old, heard("new")]) == ["new"]
    assert names([older, old, heard("new", part="scoring")]) == ["new", "old"]


def test_who_ended_a_moment_ago_is_shown_next_to_whoever_runs() -> None:
    assert names([heard("new"), heard("killed", age_s=60.0), heard("ended", age_s=60.0, stopped=True)]) == [
        "ended",
        "killed",
        "new",
    ]
