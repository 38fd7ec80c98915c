"""A worker notices that it stands still."""

from scoring.feeds.ports import FeedState
from scoring.worker.selfwatch import Health, SelfWatch


def state(progress: int, lag: int = 5, assigned: tuple[int, ...] | None = (0,)) -> FeedState:
    return FeedState(assigned=assigned, lag=lag, progress=progress)


def test_lag_without_progress_stalls_and_then_ends_the_worker() -> None:
    watch = SelfWatch(30, now_s=0)
    health = [watch.observe(state(7), now_s, servers_answer=True) for now_s in (1, 30, 31, 60, 61)]
    assert health == [Health.MOVING, Health.MOVING, Health.STALLED, Health.STALLED, Health.DEAD]


def test_progress_heals() -> None:
    watch = SelfWatch(30, now_s=0)
    watch.observe(state(7), 1, servers_answer=True)
    assert watch.observe(state(7), 40, servers_answer=True) is Health.STALLED
    assert watch.observe(state(8), 41, servers_answer=True) is Health.MOVING
    assert watch.progress_age_s == 0


def test_a_worker_without_work_is_well_for_ever() -> None:
    watch = SelfWatch(30, now_s=0)
    assert all(watch.observe(state(7, lag=0), now_s, servers_answer=True) is Health.MOVING for now_s in (1, 1000, 5000))


def test_waiting_for_a_dead_server_is_no_stall() -> None:
    watch = SelfWatch(30, now_s=0)
    assert watch.observe(state(7), 1000, servers_answer=False) is Health.MOVING
    assert watch.observe(state(7), 1031, servers_answer=True) is Health.STALLED


def test_a_worker_that_never_gets_partitions_is_not_taken_for_idle() -> None:
    watch = SelfWatch(30, now_s=0)
    watch.observe(state(0, lag=0, assigned=None), 0, servers_answer=True)
    assert watch.observe(state(0, lag=0, assigned=None), 61, servers_answer=True) is Health.DEAD
    assert watch.observe(state(0, lag=0, assigned=()), 62, servers_answer=True) is Health.MOVING
