"""What the first layer learns of the training slice."""

import numpy as np
import pytest

from contract.features import Feature, get_feature_names
from trainer.model.preprocessing import SEEN_MIN, compress, compute_ordinary, fit_constants, has_risk

TABLE = (
    Feature("a", "amount", "a", "u"),
    Feature("b", "amount", "b", "u"),
    Feature("c", "kind", "c", "hash bucket", 4),
    Feature("d", "amount", "d", "u"),
)


def rows(n: int = 200) -> np.ndarray:
    random = np.random.default_rng(1)
    made = random.exponential(10, size=(n, 4)).astype(np.float32)
    made[:, 2] = np.arange(n) % 2
    made[: n // 2, 1] = made[: n // 2, 3] = np.nan
    return made


def test_quantities_are_standardised_after_compression() -> None:
    constants = fit_constants(rows(), table=TABLE)
    assert constants.scale[2] == 0  # a category has no size
    scaled = (compress(rows()[:, 0]) - constants.mean[0]) * constants.scale[0]
    assert scaled.mean() == pytest.approx(0, abs=1e-4)
    assert scaled.std() == pytest.approx(1, abs=1e-4)


def test_a_column_that_never_varied_or_was_never_there_has_no_say() -> None:
    made = rows()
    made[:, 0], made[:, 1] = 5.0, np.nan
    constants = fit_constants(made, table=TABLE)
    assert constants.scale[:3].tolist() == [0.0, 0.0, 0.0]
    assert constants.scale[3] > 0


def test_columns_missing_together_share_one_indicator() -> None:
    assert fit_constants(rows(), table=TABLE).missing.tolist() == [1]


def test_a_category_seen_too_seldom_is_not_learned_from() -> None:
    made = rows()
    made[: SEEN_MIN - 1, 2] = 3
    assert fit_constants(made, table=TABLE).category_buckets.tolist() == [0.0, 1.0]


def test_width_counts_every_input_of_the_network() -> None:
    assert fit_constants(rows(), table=TABLE).width == 4 + 1 + 2


def test_the_ordinary_value_is_the_median_of_genuine_ones_and_none_where_mostly_missing() -> None:
    made = np.full((100, len(get_feature_names())), np.nan, dtype=np.float32)
    made[:, 0] = np.arange(100)
    made[90:, 0] = 1e6
    made[:51, 1] = 1.0
    made[:40, 2] = 1.0
    channel = get_feature_names().index("channel")
    made[:, channel] = 7.0
    made[:30, channel] = 3.0
    values = compute_ordinary(made, np.arange(100) >= 90)
    assert (values[0], values[1], values[2], values[channel]) == (44.5, 1.0, None, 7.0)


def test_compression_keeps_sign_and_order() -> None:
    values = np.array([-1e6, -1.0, 0.0, 1.0, 1e6], dtype=np.float32)
    assert np.all(np.diff(compress(values)) > 0)
    assert compress(values)[2] == 0
    assert compress(values)[0] == -compress(values)[4]


def test_a_model_learned_from_risk_where_it_differed_between_transactions() -> None:
    quiet = np.ones((200, len(get_feature_names())), dtype=np.float32)
    quiet[:, get_feature_names().index("amount")] = np.arange(200)
    assert not has_risk(fit_constants(quiet))
    quiet[::2, get_feature_names().index("terminal_frauds_7d")] = 3
    assert has_risk(fit_constants(quiet))


def test_steps_come_from_labels_of_columns_that_vary_and_never_without_labels() -> None:
    made = rows(2_000)
    made[:, 1], made[:, 3] = 5.0, np.random.default_rng(2).normal(0, 1e-9, 2_000) + 5
    fraud = made[:, 0] > 30
    assert len(fit_constants(made, table=TABLE).step_columns) == 0
    found = fit_constants(made, fraud, table=TABLE)
    assert set(found.step_columns.tolist()) == {0}
    half_way = found.step_starts[:1] + 0.5 / found.step_slopes[:1]
    assert np.abs(found.step_starts + 0.5 / found.step_slopes - 30).min() < 1
    assert half_way.size == 1
    assert len(fit_constants(made, fraud, table=TABLE, steps_max=0).step_columns) == 0
    nobody = np.where(fraud, 0.0, 1.0)
    assert len(fit_constants(made, fraud, nobody, table=TABLE).step_columns) == 0, (
        "frauds that count nothing teach nothing"
    )


@pytest.mark.parametrize(("there", "counts"), [(SEEN_MIN - 1, False), (SEEN_MIN, True)])
def test_what_was_seen_often_enough_is_learned_from(there: int, counts: bool) -> None:
    made = rows()
    made[:, 1] = np.nan
    made[:there, 1] = np.arange(there)
    made[:, 2] = 0
    made[:there, 2] = 3
    found = fit_constants(made, table=TABLE)
    assert bool(found.scale[1]) == counts
    assert (found.mean[1] != 0) == counts
    assert (1 in found.missing.tolist()) == counts
    assert found.category_buckets.tolist() == ([0.0, 3.0] if counts else [0.0])
    made[:, 1] = 1.0
    made[: SEEN_MIN if counts else SEEN_MIN - 1, 1] = np.nan
    assert (1 in fit_constants(made, table=TABLE).missing.tolist()) == counts
