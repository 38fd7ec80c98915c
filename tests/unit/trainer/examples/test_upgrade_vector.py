"""Rows of an older schema version in the width of the present one."""

import numpy as np
import pytest

from contract.features import get_feature_names, get_schema_hash
from trainer.examples.upgrade_vector import upgrade


def test_a_row_of_the_present_schema_stays_as_it_is() -> None:
    row = np.arange(len(get_feature_names()), dtype="<f4")
    same = upgrade(row.tobytes(), get_schema_hash())
    assert same is not None
    assert np.array_equal(same, row)


def test_a_row_of_version_1_is_read_with_the_later_columns_missing() -> None:
    row = upgrade(np.ones(len(get_feature_names(1)), dtype="<f4").tobytes(), get_schema_hash(1))
    assert row is not None
    assert row.shape == (len(get_feature_names()),)
    assert (row[: len(get_feature_names(1))] == 1).all()
    assert np.isnan(row[len(get_feature_names(1)) :]).all()


@pytest.mark.parametrize(
    ("width", "schema"),
    [
        (len(get_feature_names()), get_schema_hash(1)),
        (len(get_feature_names(1)), get_schema_hash()),
        (5, "v9-0123456789ab"),
        (0, ""),
    ],
)
def test_a_row_that_is_not_what_its_schema_says_is_refused(width: int, schema: str) -> None:
    assert upgrade(np.ones(width, dtype="<f4").tobytes(), schema) is None


def test_half_a_number_is_refused() -> None:
    assert upgrade(bytes(4 * len(get_feature_names()) - 1), get_schema_hash()) is None
