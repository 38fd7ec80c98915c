"""Batches that fit the budget."""

from hypothesis import given
from hypothesis import strategies as st

from scoring.feeds.pace import BATCH_MIN, Pace


def test_without_a_budget_only_the_bound_holds() -> None:
    pace = Pace(256, None)
    pace.learn(256, 10.0)
    assert pace.batch_max == 256


def test_before_anything_is_known_a_batch_may_be_as_large_as_the_bound() -> None:
    assert Pace(256, 0.05).batch_max == 256


def test_a_batch_holds_what_a_quarter_of_the_budget_allows() -> None:
    pace = Pace(256, 0.04)
    pace.learn(100, 0.02)
    assert pace.batch_max == 50


def test_after_a_stall_batches_grow_again_within_thirty_batches() -> None:
    pace = Pace(256, 0.05)
    pace.learn(1, 0.5)
    assert pace.batch_max == BATCH_MIN
    for _ in range(30):
        pace.learn(pace.batch_max, pace.batch_max * 0.0001)
    assert pace.batch_max >= 64


@given(st.integers(1, 300), st.lists(st.tuples(st.integers(1, 300), st.floats(0, 5)), max_size=30))
def test_the_bound_holds_whatever_batches_took(bound: int, batches: list[tuple[int, float]]) -> None:
    pace = Pace(bound, 0.05)
    for events, seconds in batches:
        pace.learn(events, seconds)
    assert 1 <= pace.batch_max <= bound
