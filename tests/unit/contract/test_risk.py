"""What is known of an entity beyond its windows: names, and how far back a risk reaches."""

import pytest

from contract.risk import HABIT_NAMES, RISK_NAMES, count_horizon_tiles, list_side_names
from contract.windows import ENTITIES, hash_counterpart


def test_amounts_are_compared_with_usual_ones_for_customers_and_cards_alone() -> None:
    names = {entity.name: list_side_names(entity) for entity in ENTITIES}
    assert names["customer"] == names["card"] == (*RISK_NAMES, *HABIT_NAMES)
    assert {told for name, told in names.items() if name not in ("customer", "card")} == {RISK_NAMES}


@pytest.mark.parametrize(
    ("delay_days", "tiles"), [(0.0, 124), (0.1, 128), (1.0, 128), (7.0, 152), (7.5, 156), (90.0, 484)]
)
def test_a_risk_spans_a_month_behind_the_delay_and_a_day(delay_days: float, tiles: int) -> None:
    assert count_horizon_tiles(delay_days) == tiles


def test_a_counterpart_is_known_by_eight_bytes() -> None:
    assert hash_counterpart(b"c-1").hex() == "756147115e4dcc72"
