"""A batch: rows are the transactions among its events, and a part of it is a batch whose results are the whole's."""

from pathlib import Path

import numpy as np
import pytest

from contract.errors import InvariantError
from contract.verdicts import Decision
from scoring.engine.answers import read_answer
from scoring.engine.batch import read
from scoring.ports import Answer, Case, EventResult
from support.workbench import Workbench, record, transaction


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def test_rows_are_the_transactions_among_the_events(bench: Workbench) -> None:
    events = [record(b"{", 0), record(transaction(1), 1), record(None, 2), record(transaction(2), 3)]
    batch = read(events, bench.settings.admission, bench.clock.now(), again=False)
    assert [one.transaction_id for one in batch.transactions] == ["t-1", "t-2"]
    assert [batch.get_event(row).offset for row in range(2)] == [1, 3]
    assert [result is None for result in batch.results] == [False, True, False, True]
    assert [update.transaction_id for update in batch.window_updates] == ["t-1", "t-2"]


def test_a_part_has_its_own_rows_and_sets_the_results_of_the_whole(bench: Workbench) -> None:
    batch = bench.engine.submit([record(transaction(number), number) for number in range(4)])
    bench.engine.collect(batch)
    part = batch.take([1, 3])
    assert [one.transaction_id for one in part.transactions] == ["t-1", "t-3"]
    assert part.applied.applied_seq.tolist() == [2, 4]
    np.testing.assert_array_equal(part.vectors, batch.vectors[[1, 3]])
    assert part.tally is batch.tally
    part.set_result(1, EventResult(b"other"))
    assert [result.key for result in batch.results if result] == [b"t-0", b"t-1", b"t-2", b"other"]
    assert batch.take([0, 1, 2, 3]) is batch


def test_whoever_answers_again_takes_every_row_as_new(bench: Workbench) -> None:
    events = [record(transaction(number), number) for number in range(3)]
    bench.score_events(events[:1])
    batch = bench.engine.submit(events)
    bench.engine.collect(batch)
    assert batch.list_new_rows() == [1, 2]
    batch.again = True
    assert batch.list_new_rows() == [0, 1, 2]


def test_what_was_published_before_is_read_back_as_the_answer_that_it_was(bench: Workbench) -> None:
    control = Workbench(bench.folder, document={"scoring": {"control_share": 1.0, "control_amount_max": 1000}})
    expected: list[tuple[Workbench, Decision, bool]] = [(bench, "hold", False), (control, "flag", True)]
    for one, decision, is_control in expected:
        (result,) = one.score(transaction(1, amount_minor=40_000))
        assert read_answer(result.verdict or b"") == Answer(result.verdict or b"", decision, 0.731059, is_control)


def test_a_case_on_record_that_holds_no_verdict_is_a_broken_invariant(bench: Workbench) -> None:
    bench.cases.newest["t-1"] = Case("t-1", 1, b"?", None)
    with pytest.raises(InvariantError):
        bench.score(transaction(1, amount_minor=40_000))
