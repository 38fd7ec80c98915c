"""Where a feature parts frauds from genuine transactions."""

import numpy as np
import pytest

from trainer.model import binning


def examples(n: int = 2_000) -> tuple[np.ndarray, np.ndarray]:
    """Column 0 tells frauds above 220, column 1 between 2 and 3, column 2 nothing; column 3 is missing for half, and tells at -5."""
    random = np.random.default_rng(3)
    made = np.stack(
        [random.uniform(0, 400, n), random.uniform(0, 6, n), random.normal(size=n), random.uniform(-9, 0, n)]
    )
    features = made.T.astype(np.float32)
    features[::2, 3] = np.nan
    fraud = (features[:, 0] > 220) | ((features[:, 1] > 2) & (features[:, 1] < 3)) | (features[:, 3] < -5)
    return features, fraud


def rise(found: binning.Bins, column: int, value: float) -> float:
    """The sum of the column's steps at a value."""
    of = found.column == column
    return float(np.clip((value - found.start[of]) * found.slope[of], 0, 1).sum())


def test_a_step_stands_half_way_up_at_the_cut() -> None:
    features, fraud = examples()
    found = binning.find(features, fraud, [0], cuts_max=1)
    assert found.column.tolist() == [0]
    assert abs(found.start[0] + 0.5 / found.slope[0] - 220) < 1
    assert abs(1 / found.slope[0] - 0.02 * 220) < 0.1


def test_the_most_telling_cuts_are_kept_by_column_and_place() -> None:
    features, fraud = examples()
    found = binning.find(features, fraud, range(4), cuts_max=4)
    assert 0 in found.column
    assert 2 not in found.column
    assert len(found.column) == 4
    order = list(zip(found.column.tolist(), found.start.tolist(), strict=True))
    assert order == sorted(order)
    assert rise(binning.find(features, fraud, [1]), 1, 2.5) > rise(binning.find(features, fraud, [1]), 1, 1.8)


def test_missing_values_and_infinities_are_no_obstacle() -> None:
    features, fraud = examples()
    features[5:50, 3], features[60:90, 0], features[90:99, 0] = np.nan, np.inf, -np.inf
    found = binning.find(features, fraud, range(4))
    assert np.isfinite(found.start).all()
    assert np.all(found.slope > 0)
    assert 3 in found.column


def test_a_feature_that_is_mostly_absent_or_absent_for_frauds_proposes_nothing() -> None:
    features, fraud = examples()
    features[binning.PRESENT_MIN - 1 :, 0] = np.nan
    features[fraud, 1] = np.nan
    assert set(binning.find(features, fraud, [0, 1, 3]).column.tolist()) == {3}


def test_without_frauds_rows_or_room_there_are_no_steps() -> None:
    features, fraud = examples()
    for found in (
        binning.find(features, np.zeros_like(fraud), range(4)),
        binning.find(features[:0], fraud[:0], range(4)),
        binning.find(features, fraud, range(4), cuts_max=0),
        binning.find(features, fraud, []),
        binning.make_empty(),
    ):
        assert [len(part) for part in found] == [0, 0, 0]


def test_what_is_left_out_of_a_long_history_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    fraud = np.arange(1_000) % 10 == 0
    monkeypatch.setattr(binning, "ROWS_MAX", 90)
    rows, weight = binning._sample(fraud, None)
    assert np.all(np.diff(rows) > 0)
    assert len(rows) <= 180
    assert weight[fraud[rows]].sum() == 100
    assert weight[~fraud[rows]].sum() == 900


def test_a_weight_of_nothing_leaves_a_row_out() -> None:
    features, fraud = examples()
    weight = np.ones(len(fraud))
    weight[features[:, 0] > 220] = 0
    assert binning.find(features, fraud, [0], weight).start.max(initial=0) < 215
