"""Which older examples are replayed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.examples.reservoir import GENUINE, SPANS, compute_quotas, draw


def kinds(rows: int = 12_000) -> np.ndarray:
    """One in forty is a fraud of kind 0, one in a thousand of kind 1, that only in the second half."""
    kind = np.full(rows, GENUINE, dtype=np.int64)
    kind[::40] = 0
    kind[rows // 2 :: 1_000] = 1
    return kind


def drawn(kind: np.ndarray, capacity: int, seed: int = 1) -> np.ndarray:
    return draw(kind, capacity, np.random.default_rng(seed))


def test_a_rare_kind_keeps_its_place_and_no_time_is_left_out() -> None:
    kind = kinds()
    rows = drawn(kind, 400)
    assert len(rows) == 400
    assert np.all(np.diff(rows) > 0)
    assert (kind[rows] == 1).sum() == (kind == 1).sum() == 6
    assert (kind[rows] != GENUINE).sum() == 200
    spans = np.bincount(rows[kind[rows] == GENUINE] * SPANS // len(kind), minlength=SPANS)
    assert spans.min() >= spans.max() - 1


def test_what_fits_is_taken_whole_and_nothing_of_nothing() -> None:
    assert np.array_equal(drawn(kinds(100), 100), np.arange(100))
    assert len(drawn(np.empty(0, dtype=np.int64), 10)) == 0
    assert len(drawn(kinds(), 0)) == 0


def test_the_seed_decides() -> None:
    assert np.array_equal(drawn(kinds(), 400), drawn(kinds(), 400))
    assert not np.array_equal(drawn(kinds(), 400), drawn(kinds(), 400, seed=2))


@pytest.mark.parametrize("kind", [GENUINE, 0])
def test_one_kind_alone_fills_the_reservoir(kind: int) -> None:
    assert len(drawn(np.full(1_000, kind, dtype=np.int64), 300)) == 300


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 400))
def test_quotas_are_even_within_sizes_and_add_up(sizes: list[int], capacity: int) -> None:
    taken = compute_quotas(np.array(sizes, dtype=np.int64), capacity)
    assert taken.sum() == min(capacity, sum(sizes))
    assert np.all(taken <= sizes)
    short = taken[taken < sizes]
    if len(short):
        assert taken.max() - short.min() <= 1
