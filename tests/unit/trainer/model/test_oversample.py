"""Synthetic frauds."""

import numpy as np
import pytest

from contract.features import get_feature_names, get_schema
from trainer.examples.examples import Examples
from trainer.model.oversample import FRAUD_SHARE, NEIGHBOURS, oversample

CATEGORY = [place for place, feature in enumerate(get_schema()) if feature.buckets]


def made(frauds: int, rows: int = 600) -> Examples:
    random = np.random.default_rng(3)
    features = np.exp(random.normal(size=(rows, len(get_feature_names())))).astype(np.float32)
    features[:, CATEGORY] = random.integers(0, 3, size=(rows, len(CATEGORY)))
    features[::2, 20] = np.nan
    fraud = np.arange(rows) < frauds
    fraud = fraud[random.permutation(rows)]
    return Examples(np.arange(rows) * 1_000, features, fraud, np.full(rows, 5.0), np.full(rows, 0.5))


def test_frauds_become_a_share_that_every_batch_holds_some_of() -> None:
    before = made(12)
    after = oversample(before, seed=1)
    assert after.fraud.mean() == pytest.approx(FRAUD_SHARE, abs=0.01)
    assert (~after.fraud).sum() == (~before.fraud).sum()
    assert np.all(np.diff(after.event_time_ms) >= 0)
    assert set(after.weights) == {0.5}


def test_synthetic_ones_lie_between_real_ones_and_miss_what_those_miss() -> None:
    before = made(12)
    after = oversample(before, seed=1)
    real, synthetic = before.features[before.fraud], after.features[after.fraud]
    assert np.nanmax(synthetic, axis=0) == pytest.approx(np.nanmax(real, axis=0), rel=1e-3)
    assert np.nanmin(synthetic, axis=0) == pytest.approx(np.nanmin(real, axis=0), rel=1e-3)
    assert set(synthetic[:, CATEGORY].ravel()) <= {0.0, 1.0, 2.0}
    assert 0 < np.isnan(synthetic[:, 20]).mean() < 1
    assert not np.isnan(synthetic[:, 21]).any()


def test_the_seed_decides() -> None:
    one, same, other = (oversample(made(12), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.features, same.features, equal_nan=True)
    assert not np.array_equal(one.features, other.features, equal_nan=True)


@pytest.mark.parametrize("frauds", [NEIGHBOURS, 100])
def test_too_few_or_enough_frauds_stay_as_they_are(frauds: int) -> None:
    before = made(frauds)
    assert oversample(before, seed=1) is before
