"""Robust rules give what their papers promise: honest updates through, liars bounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from federation.numeric import aggregation
from federation.numeric.aggregation import (
    Rule,
    cap_weights,
    clip_norms,
    combine,
    compute_geometric_median,
    compute_median,
    compute_trimmed_mean,
    describe_shortage,
    rank_by_krum,
)
from federation.refusals import UpdateRefusedError

RULES: tuple[Rule, ...] = ("mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median")
ROBUST = RULES[1:]


def honest(count: int = 8, size: int = 50, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(0.5, 0.1, (count, size))


@pytest.mark.parametrize("rule", RULES)
def test_equal_updates_come_out_as_they_went_in(rule: Rule) -> None:
    rows = np.tile(np.linspace(-1, 1, 30), (7, 1))
    result = combine(rule, rows, np.arange(1.0, 8.0), clip_norm=100, byzantine_max=2)
    np.testing.assert_allclose(result.update, rows[0], atol=1e-12)
    assert result.clipped == ()


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("attack", ["sign flipped", "scaled", "all the same far point", "just beyond"])
def test_two_liars_of_ten_hardly_move_the_result(rule: Rule, attack: str) -> None:
    rows = honest()
    lies = {
        "sign flipped": -rows[:2],
        "scaled": 100 * rows[:2],
        "all the same far point": np.full((2, 50), -40.0),
        "just beyond": np.tile(rows.mean(axis=0) + 3 * rows.std(axis=0), (2, 1)),
    }[attack]
    mean = rows.mean(axis=0)
    result = combine(rule, np.vstack([rows, lies]), np.ones(10), clip_norm=10, weight_max=0.2, byzantine_max=2)
    assert np.linalg.norm(result.update - mean) < 0.35 * np.linalg.norm(mean)


def test_the_plain_mean_is_moved_by_what_the_others_withstand() -> None:
    rows = honest()
    mixed = np.vstack([rows, -10 * rows[:2]])
    moved = combine("mean", mixed, np.ones(10), clip_norm=1e9).update
    assert np.linalg.norm(moved - rows.mean(axis=0)) > 2 * np.linalg.norm(rows.mean(axis=0))


def test_clipping_comes_first_and_bounds_what_one_update_can_do_to_the_mean() -> None:
    rows = np.vstack([honest(), 1e6 * honest(1)])
    result = combine("mean", rows, np.ones(9), clip_norm=4.0)
    assert result.clipped == (8,)
    assert np.linalg.norm(result.update) <= 4.0
    without = combine("mean", rows[:8], np.ones(8), clip_norm=4.0).update
    assert np.linalg.norm(result.update - without) <= 2 * 4.0 / 9


@given(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=st.floats(-1e3, 1e3)),
    st.floats(1e-2, 1e2),
)
def test_clipped_rows_keep_their_direction_and_the_rest_is_untouched(rows: np.ndarray, norm: float) -> None:
    clipped, over = clip_norms(rows, norm)
    assert (np.linalg.norm(clipped, axis=1) <= norm * (1 + 1e-9)).all()
    for index, (before, after) in enumerate(zip(rows, clipped, strict=True)):
        if index in over:
            np.testing.assert_allclose(after, before * (norm / np.linalg.norm(before)))
        else:
            np.testing.assert_array_equal(after, before)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12).filter(any), st.floats(0.05, 1.0))
def test_capped_weights_sum_to_one_and_keep_their_order(weights: list[float], share_max: float) -> None:
    given_weights = np.array(weights)
    shares, _ = cap_weights(given_weights, share_max)
    assert shares.sum() == pytest.approx(1)
    positive = (given_weights / given_weights.sum() > 0).sum()
    assert shares.max() <= max(share_max, 1 / positive) * (1 + 1e-9)
    order = np.argsort(given_weights, kind="stable")
    assert (np.diff(shares[order]) >= -1e-12).all()


def test_what_is_cut_from_one_weight_goes_to_the_others_in_proportion() -> None:
    shares, capped = cap_weights(np.array([6.0, 2.0, 1.0, 1.0]), 0.4)
    np.testing.assert_allclose(shares, [0.4, 0.3, 0.15, 0.15])
    assert capped == (0,)
    even, capped = cap_weights(np.array([9.0, 1.0, 0.0]), 0.3)
    np.testing.assert_allclose(even, [0.5, 0.5, 0])
    assert capped == (0,)


def test_one_weight_cannot_rule_the_mean() -> None:
    rows = np.vstack([np.zeros((4, 3)), np.ones((1, 3))])
    result = combine("mean", rows, np.array([1.0, 1, 1, 1, 1e9]), clip_norm=10, weight_max=0.3)
    np.testing.assert_allclose(result.update, 0.3)
    assert result.capped == (4,)


def test_median_and_trimmed_mean_are_per_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "_COLUMNS", 2)
    rows = np.array([[1.0, 9, 3], [2, 8, 1], [3, 7, 2], [4, 6, 5], [100, -100, 4]])
    np.testing.assert_array_equal(compute_median(rows), [3, 7, 3])
    np.testing.assert_array_equal(compute_trimmed_mean(rows, 1), [3, 7, 3])
    np.testing.assert_array_equal(compute_trimmed_mean(rows, 0), rows.mean(axis=0))


def test_krum_is_the_sum_of_distances_to_the_nearest() -> None:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(9, 4)) + 1e8  # far from the origin: distances must not drown in rounding
    distances = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    scores = [np.sort(np.delete(distances[i], i))[: 9 - 2 - 2].sum() for i in range(9)]
    np.testing.assert_array_equal(rank_by_krum(rows, 2), np.argsort(scores))
    assert combine("krum", rows, np.ones(9), clip_norm=1e9, byzantine_max=2).used == (int(np.argmin(scores)),)
    multi = combine("multi_krum", rows, np.ones(9), clip_norm=1e9, byzantine_max=2)
    assert multi.used == tuple(sorted(np.argsort(scores)[:5]))
    np.testing.assert_allclose(multi.update, rows[list(multi.used)].mean(axis=0))


def test_the_geometric_median_minimises_the_weighted_distance() -> None:
    generator = np.random.default_rng(5)
    rows, shares = generator.normal(size=(7, 3)), generator.dirichlet(np.ones(7))
    point = compute_geometric_median(rows, shares)

    def distance(at: np.ndarray) -> float:
        return float(shares @ np.linalg.norm(rows - at, axis=1))

    for _ in range(200):
        assert distance(point) <= distance(point + generator.normal(0, 0.05, 3)) + 1e-7
    corner = compute_geometric_median(np.array([[0.0, 0], [0, 0], [5, 5]]), np.full(3, 1 / 3))
    np.testing.assert_allclose(corner, [0, 0], atol=1e-4)


def test_where_the_mean_is_the_median_already_it_stays() -> None:
    even = np.full(5, 0.2)
    for rows in ([[0.0], [0.0], [0.0], [3.0], [-3.0]], [[0.0]] * 5):
        np.testing.assert_array_equal(compute_geometric_median(np.array(rows), even), [0.0])


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_participants_does_not_matter(rule: Rule) -> None:
    rows, weights = honest(9), np.arange(1.0, 10.0)
    order = np.random.default_rng(1).permutation(9)
    one = combine(rule, rows, weights, clip_norm=3, weight_max=0.3, byzantine_max=2).update
    other = combine(rule, rows[order], weights[order], clip_norm=3, weight_max=0.3, byzantine_max=2).update
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "enough"), [("median", 5), ("trimmed_mean", 5), ("krum", 7), ("multi_krum", 7), ("geometric_median", 5)]
)
def test_a_rule_without_enough_updates_for_its_promise_is_refused(rule: Rule, enough: int) -> None:
    assert describe_shortage(rule, enough, 2) is None
    with pytest.raises(UpdateRefusedError, match=f"needs {enough} updates"):
        combine(rule, honest(enough - 1), np.ones(enough - 1), clip_norm=1, byzantine_max=2)


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        (np.full((3, 2), np.nan), np.ones(3)),
        (np.full((3, 2), np.inf), np.ones(3)),
        (np.ones((3, 2)), np.array([1, np.nan, 1])),
        (np.ones((3, 2)), np.array([1, -1.0, 1])),
        (np.ones((3, 2)), np.zeros(3)),
        (np.ones((3, 2)), np.ones(2)),
        (np.ones(3), np.ones(3)),
        (np.ones((0, 2)), np.ones(0)),
        (np.ones((3, 0)), np.ones(3)),
    ],
)
def test_what_cannot_be_combined_is_refused(rows: np.ndarray, weights: np.ndarray) -> None:
    with pytest.raises(UpdateRefusedError):
        combine("mean", rows, weights, clip_norm=1)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 4))
def test_rows_are_ranked_by_the_distances_to_their_nearest_others(seed: int, byzantine_max: int, more: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(2 * byzantine_max + 3 + more, 4)) * 5 + 100
    nearest = len(rows) - byzantine_max - 2
    scores = []
    for row in rows:
        distances = sorted(float(np.sum((row - other) ** 2)) for other in rows)[1:]  # without its own
        scores.append(sum(distances[:nearest]))
    assert rank_by_krum(rows, byzantine_max).tolist() == np.argsort(scores).tolist()


def test_multi_krum_is_the_weighted_mean_of_the_most_central_and_an_even_one_where_they_weigh_nothing() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [3.0], [90.0]])
    found = combine("multi_krum", rows, np.array([1.0, 2.0, 3.0, 4.0, 1.0]), clip_norm=100, byzantine_max=1)
    assert len(found.used) == 2
    first, second = found.used
    weights = [1.0, 2.0, 3.0, 4.0, 1.0]
    mean = (weights[first] * rows[first] + weights[second] * rows[second]) / (weights[first] + weights[second])
    assert found.update == pytest.approx(mean)
    silent = combine("multi_krum", rows, np.array([0.0, 0.0, 0.0, 0.0, 1.0]), clip_norm=100, byzantine_max=1)
    assert silent.update == pytest.approx(rows[list(silent.used)].mean(axis=0))


def test_unless_it_is_bounded_a_weight_counts_in_full_and_one_of_nothing_not_at_all() -> None:
    rows = np.array([[1.0], [5.0], [9.0]])
    found = combine("mean", rows, np.array([3.0, 1.0, 0.0]), clip_norm=100)
    assert (found.update.tolist(), found.capped) == ([2.0], ())
    assert combine("mean", rows[:1], np.array([0.5]), clip_norm=100).update.tolist() == [1.0]
    assert combine("median", rows[:1], np.array([0.5]), clip_norm=100).update.tolist() == [1.0]
    for rule in RULES:
        assert describe_shortage(rule, 3, 0) is None


def test_a_row_of_just_the_norm_is_not_clipped_nor_a_share_of_just_the_bound_capped() -> None:
    rows = np.array([[3.0, 4.0], [6.0, 8.0]])
    clipped, which = clip_norms(rows, 5.0)
    assert (clipped.tolist(), which) == ([[3.0, 4.0], [3.0, 4.0]], (1,))
    shares, capped = cap_weights(np.array([2.0, 1.0, 1.0]), 0.5)
    assert (shares.tolist(), capped) == ([0.5, 0.25, 0.25], ())
    even, capped = cap_weights(np.array([3.0, 1.0, 0.0]), 0.5)
    assert (even.tolist(), capped) == ([0.5, 0.5, 0.0], (0,))
