"""Rows of an older schema version in the present width."""

import numpy as np
import pytest

from contract import features
from contract.features import names, schema_hash
from trainer import widen
from trainer.widen import is_known, widened


def test_a_row_of_the_present_schema_stays_as_it_is() -> None:
    row = np.arange(len(names()), dtype="<f4")
    assert np.array_equal(widened(row.tobytes(), schema_hash()), row)


def test_a_row_of_the_schema_before_is_padded_with_missing_values(monkeypatch: pytest.MonkeyPatch) -> None:
    before, width = schema_hash(), len(names())
    grown = (*features.schema(), features.Feature("risk", "history", "risk", "share"))
    for module in (features, widen):
        monkeypatch.setattr(module, "schema", lambda: grown)
    monkeypatch.setattr(widen, "names", lambda: tuple(feature.name for feature in grown))
    monkeypatch.setattr(widen, "schema_hash", features.schema_hash.__wrapped__)
    is_known.cache_clear()
    row = widened(np.ones(width, dtype="<f4").tobytes(), before)
    is_known.cache_clear()
    assert row is not None
    assert row.shape == (width + 1,)
    assert row[:-1].sum() == width
    assert np.isnan(row[-1])


@pytest.mark.parametrize("values", [b"", b"123", b"\0" * 4, b"\0" * 4 * 10_000])
@pytest.mark.parametrize("schema", ["v0-0123456789ab", "", "v1", "v1-"])
def test_anything_else_is_not_read(values: bytes, schema: str) -> None:
    assert widened(values, schema) is None
    assert widened(values, schema_hash()) is None
