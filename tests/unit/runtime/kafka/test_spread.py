"""Which records of a large log are looked at."""

from itertools import pairwise

import pytest

from runtime.kafka.topic_log import SLICES, _cut


@pytest.mark.parametrize(("start", "end", "at_most"), [(0, 51_690, 10_000), (7, 1_007, 100), (3, 40, 30)])
def test_stretches_end_with_the_newest_record_and_lie_apart(start: int, end: int, at_most: int) -> None:
    share = at_most / (end - start)
    cuts = [_cut(start, end, at, SLICES, share) for at in range(SLICES)]
    assert cuts[-1][2] == end
    assert all(first + count >= last for first, count, last in cuts)
    assert all(before[2] <= after[0] for before, after in pairwise(cuts))
    assert cuts[0][0] < start + (end - start) // SLICES + 1
    assert at_most <= sum(last - first for first, _, last in cuts) + SLICES


def test_a_log_that_is_small_enough_is_read_whole() -> None:
    assert _cut(5, 12, 0, 1, 1.0) == (5, 7, 12)
