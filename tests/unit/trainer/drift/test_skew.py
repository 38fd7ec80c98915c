"""Served against replayed: what differs, how far, and why."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.features import get_feature_names
from tillguard.history.skew import Checked
from tillguard.views import skew_report
from trainer.drift.skew import Skew, compare


def rows(count: int = 4) -> NDArray[np.float32]:
    """No risk, some windows, and missing values."""
    found = np.zeros((count, len(get_feature_names())), dtype=np.float32)
    found[:, get_feature_names().index("coupon_count_30d")] = np.nan
    return found


def changed(**values: float) -> Skew:
    """One transaction of four served with other values."""
    served = rows()
    for name, value in values.items():
        served[2, get_feature_names().index(name)] = value
    return compare(["a", "b", "c", "d"], served, rows())


def checked(skew: Skew, gone: int = 0) -> Checked:
    return Checked(skew, 10, gone, ["a"], rows(1))


def test_equal_floats_and_missing_on_both_sides_are_no_difference() -> None:
    assert compare(["a", "b", "c", "d"], rows(), rows()) == Skew(4, 0, [], {}, False)


def test_each_feature_that_differs_is_told_with_how_often_how_far_and_of_whom() -> None:
    served, replayed = rows(), rows()
    at = get_feature_names().index("card_sum_1d")
    served[:3, at] = [1, 5, -3]
    found = compare(["a", "b", "c", "d"], served, replayed)
    (feature,) = found.features
    assert (feature.name, feature.transactions, feature.largest) == ("card_sum_1d", 3, 5)
    assert (feature.transaction_id, feature.served, feature.replayed) == ("b", 5, 0)
    assert (found.compared, found.different) == (4, 3)


def test_missing_on_one_side_is_the_largest_difference() -> None:
    served = rows()
    served[1, get_feature_names().index("amount")] = np.nan
    served[2, get_feature_names().index("amount")] = 7
    (feature,) = compare(["a", "b", "c", "d"], served, rows()).features
    assert feature.largest == float("inf")
    assert (feature.transaction_id, feature.served) == ("b", None)


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"amount": 3, "card_count_30d": 2}, "content"),
        ({"card_count_30d": -1, "card_frauds_30d": 1}, "windows_shorter"),
        ({"card_count_30d": 1}, "windows_longer"),
        ({"customer_unusual_14d": 1}, "windows"),
        ({"terminal_frauds_30d": -1, "terminal_since_fraud": 3}, "frauds_later"),
        ({"terminal_frauds_early": 1}, "frauds_earlier"),
        ({"terminal_fraud_rate_7d": 0.5}, "frauds"),
    ],
)
def test_what_differs_first_says_why(values: dict[str, float], cause: str) -> None:
    assert changed(**values).causes == {cause: 1}


def test_risk_is_unseeded_where_serving_knew_of_no_fraud_and_the_replay_of_some() -> None:
    served, replayed = rows(), rows()
    replayed[3, get_feature_names().index("terminal_frauds_30d")] = 2
    assert compare(["a", "b", "c", "d"], served, replayed).risk_unseeded
    served[0, get_feature_names().index("card_frauds_early")] = 1
    assert not compare(["a", "b", "c", "d"], served, replayed).risk_unseeded


def test_the_report_says_what_to_do_and_json_has_no_infinity() -> None:
    served = rows()
    served[1, get_feature_names().index("terminal_since_fraud")] = np.nan
    found = checked(compare(["a", "b", "c", "d"], served, rows()), gone=3)
    assert skew_report.describe_skew(found) == "4 transactions as served against a replay of them: 1 differ."
    assert skew_report.as_json(found)["features"][0]["largest"] is None
    assert skew_report.as_json(found)["gone"] == 3
    empty = checked(Skew(0, 0, [], {}, False))
    assert skew_report.describe_skew(empty).startswith("Nothing to compare")
    same = checked(Skew(9, 0, [], {}, False))
    assert "every float is the same" in skew_report.describe_skew(same)


def test_features_are_told_from_the_most_frequent_down_and_of_equals_by_name() -> None:
    served = rows()
    for name, count in (("card_sum_1d", 1), ("amount", 2), ("email_sum_1d", 2), ("card_count_1h", 3)):
        served[:count, get_feature_names().index(name)] = 7
    found = compare(["a", "b", "c", "d"], served, rows())
    assert [one.name for one in found.features] == ["card_count_1h", "amount", "email_sum_1d", "card_sum_1d"]


def test_a_difference_is_a_difference_and_no_sum() -> None:
    served, replayed = rows(), rows()
    at = get_feature_names().index("card_sum_1d")
    served[:, at], replayed[:, at] = [9, 1, 1, 1], [8, -4, 1, 1]
    (feature,) = compare(["a", "b", "c", "d"], served, replayed).features
    assert (feature.largest, feature.transaction_id) == (5, "b")


def test_windows_are_longer_or_shorter_by_what_both_sides_count() -> None:
    for served_count, cause in ((3, "windows_shorter"), (5, "windows_longer")):
        served, replayed = rows(), rows()
        at = get_feature_names().index("card_count_30d")
        served[2, at], replayed[2, at] = served_count, 4
        assert compare(["a", "b", "c", "d"], served, replayed).causes == {cause: 1}
