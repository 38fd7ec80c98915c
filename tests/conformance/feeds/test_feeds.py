"""Both feeds keep the same promises over a real Kafka."""

import json
from typing import Any

import pytest

Retailer = Any  # classes of this folder's conftest.py, which cannot be imported
Workers = Any

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_every_transaction_is_answered_once_and_committed_at_the_end(retailer: Retailer, workers: Workers) -> None:
    ids = retailer.transactions(2000)
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "every verdict")
    assert worker.terminate() == 0
    assert sorted(str(v["id"]) for v in retailer.verdicts()) == sorted(ids)
    assert sorted(retailer.features()) == sorted(each.encode() for each in ids)
    assert retailer.committed() == retailer.ends()


def test_the_append_time_reaches_the_scorer_in_milliseconds(retailer: Retailer, workers: Workers) -> None:
    import time

    before_ms = time.time() * 1000 - 1
    retailer.transactions(1)
    worker = workers.start()
    retailer.until(lambda: len(retailer.full()) == 1, "the verdict")
    assert worker.terminate() == 0
    assert before_ms <= float(retailer.verdicts()[0]["appended_ms"]) <= time.time() * 1000


def test_a_second_life_does_not_answer_again_what_the_first_committed(retailer: Retailer, workers: Workers) -> None:
    first = retailer.transactions(400, "a")
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(first), "the first life's verdicts")
    assert worker.terminate() == 0
    second = retailer.transactions(400, "b")
    worker = workers.start()
    retailer.until(lambda: retailer.full() == {*first, *second}, "the second life's verdicts")
    assert worker.terminate() == 0
    assert len(retailer.verdicts()) == 800


def test_poison_becomes_dead_letters_and_stops_nothing(retailer: Retailer, workers: Workers) -> None:
    poison = [  # a broker refuses records without a key on this topic, since it is compacted
        (b"k", None, 1),
        (b"k", b"", 2),
        (b"k", b"{", 3),
        (b"k", b"\xff\xfe\x00", 0),
        (b"k", b"[" * 50_000, 1),
        (b"k", b'{"id": 5}' + b" " * 500_000 + b"!", 2),
    ]
    retailer.produce(poison)
    ids = retailer.transactions(100)
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "the good ones' verdicts")
    assert worker.terminate() == 0
    assert len(retailer.dead_letters()) == len(poison)
    assert retailer.committed() == retailer.ends()


def test_a_degraded_answer_is_followed_by_the_full_one_and_its_offset_waits(
    retailer: Retailer, workers: Workers
) -> None:
    workers.store(up=False)
    ids = retailer.transactions(200)
    worker = workers.start()
    retailer.until(lambda: len(retailer.verdicts()) >= 200, "degraded verdicts")
    assert retailer.full() == set()
    assert retailer.committed() == dict.fromkeys(range(4), 0)
    workers.store(up=True)
    retailer.until(lambda: retailer.full() == set(ids), "full verdicts")
    assert worker.terminate() == 0
    assert retailer.committed() == retailer.ends()


def test_offsets_wait_behind_a_degraded_answer_though_later_ones_are_full(retailer: Retailer, workers: Workers) -> None:
    workers.store(up=False)
    degraded = retailer.transactions(8, "d")
    worker = workers.start("--pending-max", "8")
    retailer.until(lambda: len(retailer.verdicts()) >= 8, "degraded verdicts")
    held = retailer.transactions(400, "later")
    assert retailer.committed() == dict.fromkeys(range(4), 0)
    assert len(retailer.verdicts()) <= 8 + 2 * 64, "consumption continues although too many wait"
    workers.store(up=True)
    retailer.until(lambda: retailer.full() == {*degraded, *held}, "full verdicts after the pause")
    assert worker.terminate() == 0
    assert retailer.committed() == retailer.ends()


def test_a_killed_worker_committed_nothing_that_was_not_answered(retailer: Retailer, workers: Workers) -> None:
    ids = retailer.transactions(20_000)
    worker = workers.start()
    retailer.until(lambda: sum(retailer.committed().values()) > 0, "the first commit")
    worker.kill()
    retailer.assert_no_offset_is_ahead()
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "every verdict")
    assert worker.terminate() == 0
    assert retailer.committed() == retailer.ends()


def test_a_killed_worker_leaves_degraded_events_to_its_successor(retailer: Retailer, workers: Workers) -> None:
    workers.store(up=False)
    ids = retailer.transactions(40)
    worker = workers.start()
    retailer.until(lambda: len(retailer.verdicts()) >= 40, "degraded verdicts")
    worker.kill()
    assert retailer.committed() == dict.fromkeys(range(4), 0)
    workers.store(up=True)
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "full verdicts of the successor")
    assert worker.terminate() == 0


def test_partitions_move_to_a_new_worker_and_back_without_losing_an_event(retailer: Retailer, workers: Workers) -> None:
    ids = retailer.transactions(3000, "a")
    first = workers.start()
    retailer.until(lambda: len(retailer.verdicts()) > 0, "the first worker's verdicts")
    second = workers.start()
    retailer.until(lambda: "partitions_assigned" in second.log.read_text(), "partitions for the second worker")
    ids += retailer.transactions(3000, "b")
    retailer.until(lambda: retailer.full() == set(ids), "verdicts while both work")
    retailer.assert_no_offset_is_ahead()
    assert first.terminate() == 0
    ids += retailer.transactions(1000, "c")
    retailer.until(lambda: retailer.full() == set(ids), "verdicts after one left")
    assert second.terminate() == 0
    assert retailer.committed() == retailer.ends()


def test_a_dead_worker_is_replaced_by_the_others(retailer: Retailer, workers: Workers) -> None:
    ids = retailer.transactions(500, "a")
    first, second = workers.start(), workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "verdicts")
    first.kill()
    ids += retailer.transactions(500, "b")
    retailer.until(lambda: retailer.full() == set(ids), "verdicts after the death")
    assert second.terminate() == 0
    assert retailer.committed() == retailer.ends()


def test_stopping_in_the_middle_finishes_what_was_begun(retailer: Retailer, workers: Workers) -> None:
    ids = retailer.transactions(30_000)
    worker = workers.start()
    retailer.until(lambda: len(retailer.verdicts()) > 0, "the first verdicts")
    assert worker.terminate() == 0
    retailer.assert_no_offset_is_ahead()
    answered = len(retailer.verdicts())
    assert sum(retailer.committed().values()) == answered, "a graceful stop leaves nothing to answer twice"
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "the rest")
    assert worker.terminate() == 0


def test_a_failing_scorer_ends_the_process_and_commits_nothing(retailer: Retailer, workers: Workers) -> None:
    workers.break_scorer()
    ids = retailer.transactions(10)
    worker = workers.start()
    assert worker.process.wait(60) == 1
    assert retailer.committed() == dict.fromkeys(range(4), 0)
    workers.mend_scorer()
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "verdicts of the fixed worker")
    assert worker.terminate() == 0


def test_the_web_pages_answer(retailer: Retailer, workers: Workers) -> None:
    from urllib.request import urlopen

    worker = workers.start()
    retailer.until(lambda: worker.says("reason") != "", "the web server's address")
    url = worker.address.read_text()
    assert json.loads(urlopen(f"{url}/health", timeout=10).read()) == {"alive": True}
    assert json.loads(urlopen(f"{url}/ready", timeout=10).read())["ready"] is True
    assert urlopen(f"{url}/metrics", timeout=10).status == 200
    assert worker.terminate() == 0


def test_a_worker_with_nothing_left_to_read_has_no_lag_wherever_its_offsets_stand(
    retailer: Retailer, workers: Workers
) -> None:
    ids = retailer.transactions(40)
    worker = workers.start()
    retailer.until(lambda: retailer.full() == set(ids), "the first life's verdicts")
    assert worker.terminate() == 0
    retailer.forget_before(1, retailer.ends()[1])  # retention took all
    retailer.forget_before(2, 4)
    retailer.commit(3, 10_000)  # of a topic that was made again: out of range, so its 10 are read from the beginning
    worker = workers.start()
    for number in range(2):  # the second answer comes after the broker spoke of every partition
        retailer.produce([(b"k", b'{"id": "live"}', 0)])
        retailer.until(lambda: worker.is_idle(10 + number + 1), "no lag after a live sale and quiet partitions")  # noqa: B023
    assert worker.terminate() == 0


def test_a_log_that_ends_in_what_no_reader_gets_is_no_lag(retailer: Retailer, workers: Workers) -> None:
    worker = workers.start()
    retailer.transaction_of_kafka(["kept"], 0).commit_transaction(30)
    retailer.transaction_of_kafka(["aborted-1", "aborted-2"], 1).abort_transaction(30)
    still_open = retailer.transaction_of_kafka(["late"], 2)
    retailer.until(lambda: worker.is_idle(1), "no lag behind markers, aborted records and an open transaction")
    retailer.transactions(1, "live")
    retailer.until(lambda: worker.is_idle(2), "the same after a sale")
    still_open.commit_transaction(30)
    retailer.until(lambda: worker.is_idle(3), "no lag at the end")
    assert worker.terminate() == 0
    assert retailer.full() == {"kept", "late", "live0"}
