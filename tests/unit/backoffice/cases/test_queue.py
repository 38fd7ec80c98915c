"""The order of the queue."""

from datetime import timedelta

import pytest

from backoffice.cases.queue import URGENCY_MAX, measure_left_s, sort_queue, weigh_urgency
from support.desk import NOW, line


def order(*lines: object) -> list[str]:
    return [each.transaction_id for each in sort_queue(lines, NOW)]  # type: ignore[arg-type]


def test_more_money_comes_first_where_nobody_waits() -> None:
    assert order(line("a", loss=1, left_s=None), line("b", loss=9, left_s=None)) == ["b", "a"]


def test_what_expires_first_comes_first_where_the_money_is_alike() -> None:
    assert order(line("a", left_s=600), line("b", left_s=60), line("c", left_s=None)) == ["b", "a", "c"]
    assert order(line("a", loss=0, left_s=600), line("b", loss=0, left_s=60), line("c", loss=0, left_s=None)) == list(
        "bac"
    )


def test_a_hold_about_to_end_overtakes_more_money_and_not_any_money() -> None:
    urgent = line("urgent", loss=3_000, left_s=10)
    assert order(line("more", loss=9_000, left_s=900), urgent) == ["urgent", "more"]
    assert order(line("far more", loss=13_000, left_s=900), urgent) == ["far more", "urgent"]


def test_a_hold_that_has_ended_comes_last_since_nobody_can_help_it() -> None:
    assert order(line("over", loss=90_000, left_s=-1), line("a", loss=1, left_s=None)) == ["a", "over"]


def test_a_case_that_two_lists_name_stands_once() -> None:
    assert order(line("a"), line("a")) == ["a"]


@pytest.mark.parametrize(
    ("left_s", "weight"), [(None, 1), (900, 1), (5_000, 1), (450, 2.5), (0, 0), (1e-9, URGENCY_MAX)]
)
def test_urgency_rises_evenly_to_its_bound(left_s: float | None, weight: float) -> None:
    assert weigh_urgency(left_s) == pytest.approx(weight)


def test_only_an_open_hold_has_a_clock() -> None:
    assert measure_left_s(line("a", left_s=30), NOW + timedelta(seconds=10)) == 20
    assert measure_left_s(line("a", left_s=30), NOW + timedelta(seconds=40)) == 0
    assert measure_left_s(line("a", left_s=30, case="expired"), NOW) is None
    assert measure_left_s(line("a", left_s=None), NOW) is None
