"""The runner: a position is saved only after delivery, and no crash at any point loses a row."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ports import Checkpoint, Position, SchemaSeen, Unreadable
from contract.dead_letters import DeadLetter
from contract.errors import (
    ConfigurationError,
    DeadLetterLimitError,
    PositionDeadError,
    TransientError,
)
from support.connector_parts import (
    MYSQL_TEXT,
    Away,
    Bench,
    Crash,
    Dead,
    Killed,
    MemorySink,
    MemorySource,
    row,
)

HISTORY = [row(number, change="read", phase="snapshot") for number in range(1, 6)]
STREAM = [row(number) for number in range(6, 12)]
ALL = {str(number) for number in range(1, 12)}
LIMITED = MYSQL_TEXT + "limits: {dead_letters_in_a_row: 3, dead_letter_ratio: 0.5, ratio_rows: 10}\n"


def bench(items: Sequence[object] | None = None, **changes: object) -> Bench:
    return Bench(MemorySource(HISTORY, STREAM if items is None else list(items)), **changes)  # type: ignore[arg-type]


def reasons(bench: Bench) -> list[str]:
    return [msgspec.json.decode(letter.value, type=DeadLetter).reason for letter in bench.letters()]


def test_history_comes_first_then_the_stream_and_all_of_it() -> None:
    b = bench()
    tally = b.runner().run(until_caught_up=True)
    assert b.ids() == [str(number) for number in range(1, 12)]
    assert (tally.rows, tally.dead_letters) == (11, 0)
    assert b.position() == Position("stream", str(len(STREAM)))
    assert b.source.closed
    assert b.sink.closed


def test_a_second_start_goes_on_and_repeats_nothing() -> None:
    b = bench()
    b.runner().run(until_caught_up=True)
    b.source.items.append(row(12))
    sent = len(b.sink.messages)
    b.runner().run(until_caught_up=True)
    assert b.ids()[sent:] == ["12"]
    assert b.source.snapshots == 1


def test_no_position_is_saved_while_kafka_has_not_confirmed() -> None:
    b = bench(sink=MemorySink(hold=True))
    b.runner().run(until_caught_up=True)
    assert b.store.history == []
    assert b.source.acknowledged == []


@given(released=st.integers(0, 11))
def test_the_saved_position_never_passes_what_was_confirmed(released: int) -> None:
    b = bench(sink=MemorySink(hold=True))
    b.sink.released = released
    b.runner().run(until_caught_up=True)
    position = b.position()
    covered = 0 if position is None else int(position.text) + (5 if position.stage == "stream" else 0)
    assert covered <= released
    assert covered >= released - b.source.mark_every


@given(crashes=st.lists(st.integers(0, 6), max_size=4), hold=st.booleans())
def test_crashes_at_any_points_lose_nothing(crashes: list[int], hold: bool) -> None:
    items: list[object] = list(STREAM)
    for place in sorted(crashes, reverse=True):
        items.insert(place, Crash())
    b = bench(items)
    for _ in range(len(crashes) + 1):
        try:
            b.runner().run(until_caught_up=True)
        except Killed:
            # what Kafka had not confirmed is gone with the process
            continue
    assert set(b.ids()) == ALL


def test_a_lost_connection_is_made_again_from_the_last_mark() -> None:
    items = [*STREAM[:3], Away(), *STREAM[3:]]
    b = bench(items)
    b.runner().run(until_caught_up=True)
    assert set(b.ids()) == ALL


def test_a_source_that_stays_away_ends_the_run_with_its_error() -> None:
    b = bench([Away(times=999)], text=MYSQL_TEXT + "limits: {source_down_s: 5}\n")
    b.stop.wait = lambda timeout=None: False  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="connection was lost"):
        b.runner().run()


def test_a_dead_position_names_the_remedy() -> None:
    b = bench([*STREAM[:2], Dead()])
    with pytest.raises(PositionDeadError, match="positions reset orders"):
        b.runner().run(until_caught_up=True)
    assert b.source.snapshots == 1


def test_by_policy_a_dead_position_leads_to_a_new_snapshot() -> None:
    b = bench([*STREAM[:2], Dead(), *STREAM[2:]], text=MYSQL_TEXT + "on_dead_position: resnapshot\n")
    b.runner().run(until_caught_up=True)
    assert b.source.snapshots == 2
    assert set(b.ids()) == ALL


def test_three_snapshots_in_a_row_without_progress_are_enough() -> None:
    b = bench([Dead(times=99)], text=MYSQL_TEXT + "on_dead_position: resnapshot\n")
    with pytest.raises(PositionDeadError, match="led to no progress"):
        b.runner().run(until_caught_up=True)
    assert b.source.snapshots == 4
    with pytest.raises(PositionDeadError, match="led to no progress"):
        b.runner().run(until_caught_up=True)


def test_a_full_disk_stops_the_connector_and_moves_nothing() -> None:
    b = bench()
    b.runner().run(until_caught_up=True)
    before = b.position()
    b.source.items.append(row(12))
    b.store.full = True
    with pytest.raises(TransientError, match="disk is full"):
        b.runner().run(until_caught_up=True)
    assert b.position() == before
    b.store.full = False
    b.runner().run(until_caught_up=True)
    assert b.ids()[-1] == "12"


def test_two_processes_cannot_move_one_connector() -> None:
    b = bench()
    b.runner().run(until_caught_up=True)
    first, second = b.runner(), b.runner()
    b.source.items.append(row(12))
    first.run(until_caught_up=True)
    b.source.items.append(row(13))
    second._load()
    b.store.saved["orders"] = b.store.saved["orders"]._replace(version=99)
    with pytest.raises(ConfigurationError, match="somebody else"):
        second._save(second._saved)


def test_too_many_bad_rows_in_a_row_stop_before_the_position_passes_them() -> None:
    b = bench([*STREAM[:2], *[row(number, total=-1) for number in range(20, 30)]], text=LIMITED)
    with pytest.raises(DeadLetterLimitError, match="3 bad rows in a row, the last for `amount_invalid`"):
        b.runner().run(until_caught_up=True)
    assert reasons(b) == ["amount_invalid"] * 3
    assert b.position() == Position("stream", "2")


def test_too_large_a_share_of_bad_rows_stops_too() -> None:
    mixed = [row(n, total=-1 if n % 3 else 1) for n in range(20, 60)]
    b = bench(mixed, text=LIMITED.replace("in_a_row: 3", "in_a_row: 50"))
    with pytest.raises(DeadLetterLimitError, match="among the last 10"):
        b.runner().run(until_caught_up=True)


def test_a_single_bad_row_goes_to_dead_letters_and_the_stream_goes_on() -> None:
    b = bench([row(6), row(7, total=-1), Unreadable("orders", "binlog.000001:9", "malformed", "x"), row(8)])
    tally = b.runner().run(until_caught_up=True)
    assert reasons(b) == ["amount_invalid", "malformed"]
    assert b.ids()[-1] == "8"
    assert tally.dead_letters == 2


def test_a_retyped_column_sends_rows_to_dead_letters_until_the_mapping_changes() -> None:
    families = {"id": "number", "total": "number", "placed_at": "time"}
    retyped = families | {"total": "text", "brand_new": "text"}
    items = [SchemaSeen("orders", families), row(6), SchemaSeen("orders", retyped), row(7)]
    b = bench(items)
    b.runner().run(until_caught_up=True)
    assert reasons(b) == ["schema_changed"]
    b.source.items += [SchemaSeen("orders", retyped), row(8)]
    b.runner().run(until_caught_up=True)
    assert reasons(b) == ["schema_changed"] * 2
    b.text = MYSQL_TEXT.replace("amount: total", "amount: {column: total, type: text}")
    b.source.items += [SchemaSeen("orders", retyped), row(9)]
    b.runner().run(until_caught_up=True)
    assert b.ids()[-1] == "9"


def test_faults_of_the_database_stop_the_first_start() -> None:
    b = Bench(MemorySource(HISTORY, STREAM, faults=["set log_bin=ON"]))
    with pytest.raises(ConfigurationError, match="set log_bin=ON"):
        b.runner().run()


def test_a_changed_mapping_is_checked_before_the_stream_goes_on() -> None:
    b = bench()
    b.runner().run(until_caught_up=True)
    b.source.faults = ["database shop has no table Orders"]
    b.source.items += [row(12)]
    b.runner().run(until_caught_up=True)  # the same mapping: bad rows are a matter of dead letters
    assert b.ids()[-1] == "12"
    before = b.position()
    b.text = MYSQL_TEXT.replace("amount: total", "amount: {column: total, type: text}")
    b.source.items += [row(13)]
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no table Orders"):
            b.runner().run(until_caught_up=True)
    assert b.position() == before
    b.source.faults = []
    b.runner().run(until_caught_up=True)
    assert b.ids()[-1] == "13"


def test_quiet_sources_move_on_by_their_marks() -> None:
    b = bench([Checkpoint(Position("stream", "1"), idle=True)])
    b.runner().run(until_caught_up=True)
    assert b.position() is not None
    assert b.position().stage == "stream"  # type: ignore[union-attr]


def test_a_stop_saves_what_was_delivered() -> None:
    b = bench()
    b.stop.set()
    b.runner().run()
    assert b.ids() == []
    assert b.source.closed


def test_what_was_done_is_counted_for_operators() -> None:
    b = bench([row(6), row(7, total=-1)])
    b.runner().run(until_caught_up=True)
    value = b.metrics.registry.get_sample_value
    assert value("tillguard_connector_rows_total", {"connector": "orders", "phase": "snapshot"}) == 5
    assert value("tillguard_connector_delivered_total", {"connector": "orders"}) == 7
    assert value("tillguard_connector_dead_letters_total", {"connector": "orders", "reason": "amount_invalid"}) == 1
