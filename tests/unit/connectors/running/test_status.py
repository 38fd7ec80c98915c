"""What a connector says of itself: what it reads, how far it is, how long that still takes."""

import pytest

from connectors.ports import Extent, Outgoing
from connectors.running.health import Reading, Vitals
from connectors.running.status import PACE_OVER_S, ConnectorStatus, Pace, estimate_left_s
from contract.clock import ManualClock
from contract.status.message import Lag
from contract.status.words import describe_condition
from support.connector_parts import MYSQL_TEXT, NOW, Away, Bench, MemorySink, MemorySource, row


def reading(total: int | None = 1000, before: int = 0) -> Reading:
    return Reading(Extent("orders", total, before), began_s=0.0, tables_after=1, rows=before)


def status(vitals: Vitals, clock: ManualClock, ailments: list[str] | None = None) -> ConnectorStatus:
    return ConnectorStatus(vitals, lambda: ailments or [], clock)


def test_a_snapshot_tells_its_share_and_how_long_it_still_takes() -> None:
    clock, vitals = ManualClock(NOW), Vitals(started_s=0.0, reading=reading())
    told = status(vitals, clock)
    clock.advance(10)
    assert vitals.reading is not None
    vitals.reading.rows = 620
    found = told.look()
    assert found.progress is not None
    assert (found.progress.rows_per_s, found.progress.left_s) == (62.0, 380 / 62)
    assert describe_condition(found) == "reading orders, 62 %, about 6 s left, then 1 more table"


def test_rows_of_earlier_starts_count_for_the_share_and_not_for_the_pace() -> None:
    clock, vitals = ManualClock(NOW), Vitals(started_s=0.0, reading=reading(before=500))
    clock.advance(10)
    assert vitals.reading is not None
    vitals.reading.rows = 600
    progress = status(vitals, clock).look().progress
    assert progress is not None
    assert (progress.rows, progress.rows_per_s, progress.left_s) == (600, 10.0, 40.0)


def test_a_pace_is_that_of_the_last_minute_and_begins_again_with_the_next_table() -> None:
    clock, vitals = ManualClock(NOW), Vitals(started_s=0.0, reading=reading())
    told = status(vitals, clock)
    for _ in range(100):  # Kafka takes nothing
        clock.advance(5)
        told.look()
    assert vitals.reading is not None
    for _ in range(int(PACE_OVER_S / 5)):
        clock.advance(5)
        vitals.reading.rows += 10
        told.look()
    progress = told.look().progress
    assert progress is not None
    assert progress.rows_per_s == 2.0
    vitals.reading = Reading(Extent("labels", 50), clock.monotonic_s(), 0, 0)
    assert told.look().progress is not None
    clock.advance(1)
    vitals.reading.rows = 25
    assert describe_condition(told.look()) == "reading labels, 50 %, about 1 s left"


@pytest.mark.parametrize(
    ("rows", "total", "pace", "left_s"),
    [(10, 30, 2.0, 10.0), (30, 30, 2.0, 0.0), (31, 30, 2.0, None), (10, None, 2.0, None), (10, 30, 0.0, None)],
)
def test_time_left_is_told_only_where_it_is_known(
    rows: int, total: int | None, pace: float, left_s: float | None
) -> None:
    assert estimate_left_s(rows, total, pace) == left_s


def test_at_the_very_beginning_there_is_no_pace() -> None:
    assert Pace(reading()).measure(0, 0.0) is None


def test_a_stream_tells_its_lag_and_that_nothing_waits() -> None:
    vitals = Vitals(started_s=0.0, lag_s=0.8, position="binlog.000003:4")
    told = status(vitals, ManualClock(NOW))
    assert (told.look().activity, told.look().lag) == ("starting", None)
    vitals.begin_stream()
    assert (told.look().lag, told.look().position) == (Lag(seconds=0.8), "binlog.000003:4")
    vitals.caught_up = True
    assert describe_condition(told.look()) == "streaming, up to date"


def test_a_source_that_is_waited_for_is_told_before_health_complains_and_in_its_words_after() -> None:
    vitals = Vitals(started_s=0.0, streaming=True, caught_up=True, away="the connection was lost")
    assert status(vitals, ManualClock(NOW)).look().reasons == ["the connection was lost"]
    assert status(vitals, ManualClock(NOW), ["silent for 61 s"]).look().reasons == ["silent for 61 s"]


class WatchingSink(MemorySink):
    """Notes the vitals at every message."""

    vitals: Vitals

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int] | None] = []

    def send(self, message: Outgoing) -> None:
        super().send(message)
        found = self.vitals.reading
        self.seen.append(None if found is None else (found.rows, found.extent.before))


def test_the_runner_counts_the_rows_that_stand_there_and_knows_where_the_stream_is() -> None:
    history = [row(number, change="read", phase="snapshot") for number in range(1, 4)]
    sink = WatchingSink()
    b = Bench(MemorySource(history, [row(4), Away(), row(5)]), sink=sink)
    runner = b.runner()
    vitals = sink.vitals = runner._vitals
    waited: list[str] = []
    b.stop.wait = lambda timeout=None: bool(waited.append(vitals.away))  # type: ignore[method-assign, func-returns-value]
    runner.run(until_caught_up=True)
    assert sink.seen == [(1, 0), (2, 0), (3, 0), *[None] * (len(sink.seen) - 3)]
    assert waited == ["the connection was lost"]
    assert (vitals.streaming, vitals.caught_up, vitals.away, vitals.reading) == (True, True, "", None)
    assert vitals.position == "item 3"


def test_tables_that_come_after_are_counted() -> None:
    labels = (
        "labels:\n  - {table: chargebacks, key: id, fields: {transaction_id: order_id, fraud: {constant: true}, "
        "source: {constant: chargeback}, label_time: at}}\n"
    )
    b = Bench(MemorySource([], []), text=MYSQL_TEXT.partition("labels:")[0] + labels)
    runner = b.runner()
    found = []
    for table in ("orders", "chargebacks", ""):
        runner._take_extent(Extent(table, 1))
        assert runner._vitals.reading is not None
        found.append(runner._vitals.reading.tables_after)
    assert found == [1, 0, 0]
