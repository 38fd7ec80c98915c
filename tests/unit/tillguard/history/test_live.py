"""What a load of history leaves out, how it rests, and what it says."""

from collections import Counter

import pytest

from scoring.store.history import LoadRecord, Span
from tillguard.history.live import OTHERS_FOR_S, REST_MAX_S, Loaded, Pace, describe_load, extend_span, find_known_span


def test_empty_windows_take_everything_full_ones_what_is_older_and_those_of_unknown_age_nothing() -> None:
    assert find_known_span(None, 0, None, None) is None
    assert find_known_span(None, 7, 30, None) == Span(30, None)
    said = find_known_span(None, 7, None, None)
    assert isinstance(said, str)
    assert "--before" in said


def test_the_operators_limit_holds_whatever_was_loaded_before() -> None:
    assert find_known_span(LoadRecord(True, None, Span(1, 2), 5), 9, 1, 50) == Span(50, None)
    assert find_known_span(None, 9, 1, 50) == Span(50, None)


def test_a_load_that_was_killed_goes_on_with_what_it_began_with() -> None:
    assert find_known_span(LoadRecord(False, Span(50, None), Span(10, 20), 0), 9, 10, None) == Span(50, None)
    assert find_known_span(LoadRecord(False, None, Span(10, 20), 0), 9, 10, None) is None


def test_a_longer_file_may_follow_while_nothing_else_came_and_else_only_what_is_older() -> None:
    record = LoadRecord(True, None, Span(10, 20), 9)
    assert find_known_span(record, 9, 10, None) == Span(10, 20)
    assert find_known_span(record, 10, 10, None) == Span(10, None)
    assert find_known_span(record, 10, 4, None) == Span(4, None), "a connector brought older ones"
    assert find_known_span(record, 10, None, None) == Span(10, None)


def test_a_span_holds_its_ends() -> None:
    assert [Span(10, 20).has(moment) for moment in (9, 10, 20, 21)] == [False, True, True, False]
    assert Span(10, None).has(10**15)


def test_what_is_held_grows_to_the_widest() -> None:
    assert extend_span(None, None, None) is None
    assert extend_span(None, 5, 9) == Span(5, 9)
    assert extend_span(Span(5, 9), 1, 6) == Span(1, 9)
    assert extend_span(Span(5, 9), None, None) == Span(5, 9)


def test_a_load_rests_only_while_others_use_the_store() -> None:
    pace = Pace()
    assert pace.compute_rest_s(64, 64, 0.02, 0.0) == 0
    assert pace.compute_rest_s(64, 128, 0.02, 1.0) == 0
    assert pace.compute_rest_s(64, 193, 0.02, 2.0) == pytest.approx(0.06), "one of others came between"
    assert pace.compute_rest_s(64, 257, 0.02, 3.0) == pytest.approx(0.06)
    assert pace.compute_rest_s(64, 321, 0.02, 2.1 + OTHERS_FOR_S) == 0
    assert pace.compute_rest_s(64, 500, 9.0, 30.0) == REST_MAX_S


def test_a_load_says_what_it_took_and_what_it_left_out() -> None:
    day = 86_400_000
    said = describe_load(Loaded(1_200, 3, 4, 1, Counter(time_future=2), 17, 5, 20_000 * day, 20_030 * day, 1.5, []))
    assert "2024-10-04 00:00 to 2024-11-03 00:00 UTC: 1,200 transactions new, 3 known before, 17 labels" in said
    assert "4 of a time" in said
    assert "1 repeated, 2 unusable (time_future), 5 labels that become known later" in said
    assert "know its 4 transactions themselves" in describe_load(
        Loaded(0, 0, 4, 0, Counter(), 0, 0, None, None, 0.1, [])
    )
    assert describe_load("because") == "Live windows left as they are: because."
