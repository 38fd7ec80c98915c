"""Each sentence of contract/windows.py as an example worked out by hand; the Redis script is then held to the reference."""

import math

import pytest

from contract.windows import DAY_MS, HOUR_MS, MINUTE_MS
from scoring.ports import WindowUpdate
from support.reference import Reference, aggregates
from support.window_updates import START_MS, column, window_update


def last(*window_updates: WindowUpdate, max_events: int = 1024, max_counterparts: int = 64) -> "Numbers":
    matrix = aggregates(enumerate(window_updates, 1), max_events=max_events, max_counterparts=max_counterparts)
    return Numbers(dict(enumerate(matrix[-1])))


class Numbers:
    def __init__(self, row: dict[int, float]) -> None:
        self._row = row

    def __getitem__(self, name: str) -> float:
        return float(self._row[column(name)])


def test_an_event_counts_itself() -> None:
    row = last(window_update("a", amount=250, card="x"))
    for window in ("1m", "10m", "1h", "1d", "7d", "30d"):
        assert (row[f"card.count_{window}"], row[f"card.sum_{window}"]) == (1, 250)
    assert math.isnan(row["card.since_last_ms"])
    assert row["card.saturated"] == 0


def test_an_entity_that_is_not_named_is_missing() -> None:
    row = last(window_update("a", card="x"))
    assert math.isnan(row["customer.count_1m"])
    assert math.isnan(row["customer.saturated"])


def test_a_window_is_open_at_its_old_end_and_an_earlier_event_of_the_same_millisecond_counts() -> None:
    row = last(
        window_update("a", 0, 1, card="x"),
        window_update("b", 1, 10, card="x"),
        window_update("c", MINUTE_MS, 100, card="x"),
        window_update("d", MINUTE_MS, 1000, card="x"),
    )
    assert (row["card.count_1m"], row["card.sum_1m"]) == (3, 1110)
    assert (row["card.count_10m"], row["card.sum_10m"]) == (4, 1111)
    assert row["card.since_last_ms"] == 0


def test_a_late_event_sees_its_own_past_only() -> None:
    row = last(
        window_update("a", 0, 1, card="x"),
        window_update("b", HOUR_MS, 10, card="x"),
        window_update("c", 2 * HOUR_MS, 100, card="x"),
        window_update("late", HOUR_MS + 5, 1000, card="x"),
    )
    assert (row["card.count_1h"], row["card.sum_1h"]) == (2, 1010)
    assert (row["card.count_1d"], row["card.sum_1d"]) == (3, 1011)
    assert row["card.since_last_ms"] == 5


def test_a_late_event_does_not_see_what_left_the_clocks_day() -> None:
    row = last(
        window_update("a", 0, 1, card="x"),
        window_update("b", DAY_MS, 10, card="x"),
        window_update("late", 5, 100, card="x"),
    )
    assert (row["card.count_1d"], row["card.sum_1d"]) == (1, 100)
    assert math.isnan(row["card.since_last_ms"])


def test_a_late_event_is_seen_by_the_next_one() -> None:
    row = last(
        window_update("a", 0, 1, card="x"),
        window_update("late", -5, 10, card="x"),
        window_update("b", MINUTE_MS - 5, 100, card="x"),
    )
    assert (row["card.count_1m"], row["card.sum_1m"]) == (2, 101)
    assert (row["card.count_10m"], row["card.sum_10m"]) == (3, 111)
    assert row["card.since_last_ms"] == MINUTE_MS - 5


def test_tiles_begin_at_multiples_of_their_length_since_1970() -> None:
    tile_ms = 6 * HOUR_MS
    begin = -(START_MS % tile_ms)  # of the tile that START_MS lies in
    before = window_update("a", begin - 1 - 27 * tile_ms, 1, card="x")
    inside = window_update("b", begin - 27 * tile_ms, 10, card="x")
    row = last(before, inside, window_update("c", begin + tile_ms - 1, 100, card="x"))
    assert (row["card.count_7d"], row["card.sum_7d"]) == (2, 110)
    assert row["card.count_30d"] == 3


def test_a_late_event_older_than_all_kept_tiles_counts_itself_only() -> None:
    row = last(window_update("a", 0, 1, card="x"), window_update("late", -40 * DAY_MS, 10, card="x"))
    assert (row["card.count_30d"], row["card.sum_30d"]) == (1, 10)


def test_distinct_counterparts_are_counted_by_their_newest_meeting() -> None:
    row = last(
        window_update("a", 0, card="x", device="d1"),
        window_update("b", 1, card="x", device="d2"),
        window_update("c", 2 * HOUR_MS, card="x", device="d1"),
        window_update("d", 2 * HOUR_MS + 7, card="x", device="d1"),
    )
    assert row["card.distinct_device_1h"] == 1
    assert row["card.distinct_device_1d"] == 2
    assert row["card.since_device_ms"] == 7


def test_an_event_without_the_counterpart_adds_none() -> None:
    row = last(window_update("a", card="x", device="d1"), window_update("b", 1, card="x"))
    assert row["card.distinct_device_1h"] == 1
    assert math.isnan(row["card.since_device_ms"])


def test_a_counterpart_met_after_a_late_event_is_counted_but_has_no_since() -> None:
    row = last(window_update("a", 10, card="x", device="d1"), window_update("late", 5, card="x", device="d1"))
    assert row["card.distinct_device_1h"] == 1
    assert math.isnan(row["card.since_device_ms"])


@pytest.mark.parametrize(("count", "saturated"), [(3, 0), (4, 1)])
def test_the_bound_on_events_keeps_the_newest_and_says_so(count: int, saturated: int) -> None:
    row = last(*(window_update(str(i), i, 1, card="x") for i in range(count)), max_events=3)
    assert row["card.count_1d"] == 3
    assert row["card.count_30d"] == count
    assert row["card.saturated"] == saturated


def test_saturation_ends_when_the_clock_alone_would_have_forgotten_what_was_pushed_out() -> None:
    crowd = [window_update(str(i), i, 1, card="x") for i in range(5)]
    assert last(*crowd, window_update("a", DAY_MS + 1, card="x"), max_events=3)["card.saturated"] == 1
    assert last(*crowd, window_update("a", DAY_MS + 2, card="x"), max_events=3)["card.saturated"] == 0


def test_the_bound_on_counterparts_keeps_the_newest_and_says_so() -> None:
    met = [window_update(str(i), i, card="x", device=f"d{i}") for i in range(3)]
    row = last(*met, window_update("again", 10, card="x", device="d0"), max_counterparts=2)
    assert row["card.distinct_device_1h"] == 2
    assert math.isnan(row["card.since_device_ms"])
    assert row["card.saturated"] == 1


def test_a_new_token_that_comes_with_its_old_one_goes_on_where_the_old_one_stopped() -> None:
    row = last(
        window_update("a", 0, card="old", customer="c"),
        window_update("b", 1, card="new", customer="c", aliases={"card": "old"}),
        window_update("c", 2, card="new", customer="c"),
    )
    assert row["card.count_1m"] == 3
    assert row["customer.distinct_card_1h"] == 1
    assert row["customer.since_card_ms"] == 1


def test_a_token_with_windows_of_its_own_is_not_linked() -> None:
    row = last(
        window_update("a", 0, card="old"),
        window_update("b", 1, card="new"),
        window_update("c", 2, card="new", aliases={"card": "old"}),
    )
    assert row["card.count_1m"] == 2


def test_rows_come_as_given_and_are_computed_in_applied_order() -> None:
    first, second = window_update("a", 0, 1, card="x"), window_update("b", 0, 10, card="x")
    matrix = aggregates([(2, second), (1, first), (2, second)])
    assert matrix[:, column("card.count_1m")].tolist() == [2, 1, 2]


def test_one_reference_serves_event_by_event() -> None:
    reference = Reference()
    rows = [reference.apply(i, window_update(str(i), i, card="x")) for i in (1, 2)]
    assert [row[column("card.count_1m")] for row in rows] == [1, 2]
