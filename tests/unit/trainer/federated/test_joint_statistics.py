"""What the common first layer takes from sums over all retailers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainer.federated import joint_form, joint_statistics
from trainer.federated.joint_statistics import Kind
from trainer.model.preprocessing import compress

AMOUNT = Kind(4.0, 0.7, (10, 100, 1_000), quantiles=(0.25, 0.5, 0.9))
COUNT = Kind(0.0, 0.7)
FLAG = Kind(0.0, 1.4, measured=False)
KINDS = [AMOUNT, FLAG, COUNT]


def drawn(seed: int, rows: int, dearer: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    features = np.stack(
        [dearer * random.lognormal(3, 1, rows), random.integers(0, 2, rows), random.poisson(0.3, rows)], axis=1
    ).astype(np.float32)
    features[random.random(rows) < 0.3, 0] = np.nan
    return features


def test_statistics_of_parts_add_up_to_those_of_the_whole_and_give_its_form(seed: int) -> None:
    parts = [drawn(seed + number, 2_000, 10.0**number) for number in range(3)]
    whole = np.concatenate(parts)
    mean = np.mean([joint_statistics.summarise(KINDS, part) for part in parts], axis=0)
    np.testing.assert_allclose(mean, joint_statistics.summarise(KINDS, whole), atol=1e-6)
    amount, flag, count = joint_statistics.adapt(KINDS, mean)
    there = whole[~np.isnan(whole[:, 0]), 0]
    compressed = compress(there)
    assert amount.mean == pytest.approx(compressed.mean(), abs=1e-3)
    assert 1 / amount.scale == pytest.approx(compressed.std(), rel=1e-3)
    # Quantiles are right to a bin, which is a factor of exp(1/4).
    for cut, level in zip(amount.cuts, AMOUNT.quantiles, strict=True):
        assert np.log1p(cut) == pytest.approx(np.log1p(np.quantile(there, level)), abs=0.25)
    assert flag == FLAG
    assert (count.mean, count.cuts) == (0.0, ())
    assert 1 / count.scale == pytest.approx(float(np.sqrt((compress(whole[:, 2]) ** 2).mean())), rel=1e-3)


def test_a_form_follows_the_currency() -> None:
    one, other = (
        joint_statistics.adapt(KINDS, joint_statistics.summarise(KINDS, drawn(1, 5_000, size)))[0] for size in (1, 100)
    )
    assert [cut / near for cut, near in zip(other.cuts, one.cuts, strict=True)] == pytest.approx([100] * 3, rel=0.15)


@given(
    arrays(
        np.float32,
        (5, 3),
        elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False) | st.just(float("nan")),
    )
)
def test_no_row_s_part_is_longer_than_one(features: np.ndarray) -> None:
    for row in features:
        assert np.linalg.norm(joint_statistics.summarise(KINDS, row[np.newaxis])) <= 1 + 1e-6
    whole = joint_statistics.summarise(KINDS, features)
    by_rows = np.mean([joint_statistics.summarise(KINDS, row[np.newaxis]) for row in features], axis=0)
    np.testing.assert_allclose(whole, by_rows, atol=1e-5)


@given(
    arrays(
        np.float32,
        joint_statistics.count_numbers(KINDS),
        elements=st.floats(-100, 100, width=32, allow_subnormal=False),
    )
)
def test_whatever_noise_or_a_liar_makes_of_the_sum_the_form_stays_within_its_bounds(pooled: np.ndarray) -> None:
    for kind, before in zip(joint_statistics.adapt(KINDS, pooled), KINDS, strict=True):
        assert before.scale / 4 - 1e-9 <= kind.scale <= 4 * before.scale + 1e-9
        assert abs(kind.mean - before.mean) <= 8 / before.scale + 1e-9
        assert len(kind.cuts) == len(before.cuts)
        assert list(kind.cuts) == sorted(kind.cuts)
        assert all(0 <= cut <= 1e7 for cut in kind.cuts)


def test_a_weight_is_as_many_equal_rows() -> None:
    features = drawn(2, 50)
    weight = np.arange(1, 51).astype(np.float64)
    repeated = np.repeat(features, np.arange(1, 51), axis=0)
    np.testing.assert_allclose(
        joint_statistics.summarise(KINDS, features, weight), joint_statistics.summarise(KINDS, repeated), atol=1e-6
    )


def test_statistics_change_the_network_s_form_but_no_shape_and_none_leave_it_as_the_schema_says() -> None:
    kinds = joint_form.list_kinds()
    width = len(kinds)
    random = np.random.default_rng(3)
    pooled = joint_statistics.summarise(kinds, random.lognormal(6, 2, (500, width)).astype(np.float32))
    plain, adapted = joint_form.build_constants(), joint_form.build_constants(statistics=pooled)
    assert joint_form.hash_form(plain) == joint_form.hash_form(
        joint_form.build_constants(statistics=np.zeros_like(pooled))
    )
    assert joint_form.hash_form(plain) != joint_form.hash_form(adapted)
    assert plain.width == adapted.width
    assert np.array_equal(plain.step_columns, adapted.step_columns)
    assert all(np.isfinite(array).all() for array in (adapted.mean, adapted.scale, adapted.step_starts))
