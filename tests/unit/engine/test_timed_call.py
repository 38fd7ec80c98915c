"""A call with a time limit: the caller goes on, and nothing piles up behind a call that hangs."""

import threading

import pytest

from scoring.timed_call import LateError, TimedCall


def test_results_and_exceptions_come_back_as_they_are() -> None:
    timed: TimedCall[int] = TimedCall("test")
    assert timed(lambda: 3, 10) == 3
    with pytest.raises(ZeroDivisionError):
        timed(lambda: 1 // 0, 10)
    assert timed(lambda: 4, 10) == 4


def test_a_late_call_is_given_up_and_the_next_ones_are_refused_until_it_ends() -> None:
    timed: TimedCall[str] = TimedCall("test")
    release, ended = threading.Event(), threading.Event()

    def hang() -> str:
        release.wait(30)
        ended.set()
        return "too late"

    with pytest.raises(LateError):
        timed(hang, 0.01)
    with pytest.raises(LateError):
        timed(lambda: "not even tried", 30)
    release.set()
    assert ended.wait(30)
    answers = []
    for _ in range(1000):  # the thread clears its flag right after the call ended
        try:
            answers.append(timed(lambda: "in time", 30))
            break
        except LateError:
            threading.Event().wait(0.01)
    assert answers == ["in time"]


def test_no_time_left_is_late_at_once() -> None:
    timed: TimedCall[int] = TimedCall("test")
    blocked = threading.Event()
    with pytest.raises(LateError):
        timed(lambda: int(blocked.wait(30)), -1.0)
    blocked.set()
