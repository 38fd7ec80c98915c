from hypothesis import given
from hypothesis import strategies as st

from backoffice.projection.starting_point import StartingPoint, choose_start
from backoffice.projection.store import Position


def test_a_partition_that_was_never_read_begins_with_the_oldest_record() -> None:
    assert choose_start(None, "a", 7, 40) == StartingPoint(7)


def test_reading_continues_where_it_was() -> None:
    assert choose_start(Position("a", 12), "a", 7, 40) == StartingPoint(12)
    assert choose_start(Position("a", 40), "a", 7, 40) == StartingPoint(40)


def test_what_retention_dropped_is_counted() -> None:
    assert choose_start(Position("a", 5), "a", 7, 40) == StartingPoint(7, missed=2)


def test_a_topic_that_was_made_again_is_read_from_its_start() -> None:
    assert choose_start(Position("a", 12), "b", 0, 40) == StartingPoint(0, is_other_topic=True)
    assert choose_start(Position("a", 41), "a", 0, 40) == StartingPoint(0, is_other_topic=True)


@given(saved=st.integers(0, 100), low=st.integers(0, 100), held=st.integers(0, 100))
def test_no_record_that_the_topic_still_holds_is_left_out(saved: int, low: int, held: int) -> None:
    start = choose_start(Position("a", saved), "a", low, low + held)
    assert low <= start.offset <= low + held
    assert start.offset <= max(saved, low)
