import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.gate import SIMPLEST_FIRST, choose


@pytest.mark.parametrize(
    ("measured", "choice"),
    [
        ({"local": 0.5, "global": 0.6}, "global"),
        ({"local": 0.5, "global": 0.505}, "local"),
        ({"local": 0.6, "global": 0.5, "blended": 0.7}, "blended"),
        ({"local": 0.6, "global": 0.7, "blended": 0.7}, "global"),
        ({"local": 0.1, "global": 0.2, "blended": 0.3, "fine_tuned": 0.4}, "fine_tuned"),
        ({"global": 0.2, "blended": 0.1}, "global"),
        ({"local": math.nan, "global": 0.2}, "global"),
        ({"local": 0.1, "global": math.nan}, "local"),
        ({}, "local"),
    ],
)
def test_the_best_on_its_own_labels_serves_and_the_simplest_of_equals(measured: dict[str, float], choice: str) -> None:
    assert choose(measured, frauds=50, frauds_min=10, margin=0.01).choice == choice  # type: ignore[arg-type]


def test_too_few_frauds_decide_nothing() -> None:
    verdict = choose({"local": 0.1, "global": 0.9}, frauds=9, frauds_min=10, margin=0.0)
    assert verdict == ("local", "9 known frauds are too few to judge by, 10 are needed")


@given(st.dictionaries(st.sampled_from(SIMPLEST_FIRST), st.floats(0, 1)), st.integers(0, 30), st.floats(0, 0.2))
def test_no_retailer_is_ever_worse_off_by_what_it_measured(
    measured: dict[str, float], frauds: int, margin: float
) -> None:
    chosen = choose(measured, frauds=frauds, frauds_min=10, margin=margin).choice  # type: ignore[arg-type]
    if "local" in measured:
        assert chosen == "local" or measured[chosen] >= measured["local"] + margin
