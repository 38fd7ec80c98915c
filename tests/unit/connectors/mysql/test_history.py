"""Rows of the past in the log of a table that keeps versions."""

from datetime import UTC, datetime

import pytest

from connectors.mysql.columns.row_images import RowFault, RowImage
from connectors.mysql.history import drop_past_rows

PAST = datetime(2026, 4, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "never",
    [datetime(2038, 1, 19, 3, 14, 7, 999999, UTC), datetime(2106, 2, 7, 6, 28, 15, 999999, UTC), 2**64 - 1],
)
def test_only_rows_that_count_now_are_given(never: object) -> None:
    new, old = {"id": 1, "e": never}, {"id": 1, "e": PAST if isinstance(never, datetime) else 7}
    images = [
        RowImage(None, new),
        RowImage(None, old),
        RowImage(new, old),
        RowImage(new, new),
        RowImage(None, {"id": 2}),
    ]
    found = list(drop_past_rows(iter(images), "e", {"id"}))
    one = {"id": 1}
    assert found == [RowImage(None, one), RowImage(one, one), RowImage(None, {"id": 2})]


def test_rows_that_cannot_be_read_keep_what_is_known() -> None:
    fault = RowFault({"id": 1, "e": PAST}, "short")
    assert list(drop_past_rows(iter([fault]), "e", {"id"})) == [RowFault({"id": 1}, "short")]


def test_tables_without_versions_are_given_as_they_are() -> None:
    images = [RowImage(None, {"id": 1, "e": PAST})]
    assert list(drop_past_rows(iter(images), "", {"id"})) == images
