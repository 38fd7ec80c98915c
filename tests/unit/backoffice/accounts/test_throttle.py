"""How long who failed to sign in must wait."""

import pytest

from backoffice.accounts.throttle import FORGOTTEN_MS, Failures, Of, compute_wait_s, count_failure

NOW_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("of", "count", "wait_s"),
    [
        ("account", 0, 0), ("account", 4, 0), ("account", 5, 1), ("account", 6, 2), ("account", 10, 32), ("account", 14, 300),
        ("account", 10_000, 300), ("address", 19, 0), ("address", 20, 1), ("address", 40, 900),
    ],
)  # fmt: skip
def test_waits_double_up_to_a_bound_after_the_free_failures(of: Of, count: int, wait_s: int) -> None:
    assert compute_wait_s(Failures(count, NOW_MS), NOW_MS, of) == wait_s


def test_what_was_waited_already_counts_to_the_second() -> None:
    failures = Failures(7, NOW_MS)
    waits = [compute_wait_s(failures, NOW_MS + ms, "account") for ms in (0, 1, 1_000, 3_999, 4_000)]
    assert waits == [4, 4, 3, 1, 0]


def test_failures_are_forgotten_after_an_hour() -> None:
    failures = Failures(100, NOW_MS)
    assert compute_wait_s(failures, NOW_MS + FORGOTTEN_MS, "account") == 0
    assert count_failure(failures, NOW_MS + FORGOTTEN_MS) == (1, NOW_MS + FORGOTTEN_MS)
    assert count_failure(failures, NOW_MS + 1) == (101, NOW_MS + 1)
    assert count_failure(None, NOW_MS) == (1, NOW_MS)


def test_a_clock_that_was_set_back_makes_no_wait_longer() -> None:
    assert compute_wait_s(Failures(6, NOW_MS), NOW_MS - 86_400_000, "account") == 2
