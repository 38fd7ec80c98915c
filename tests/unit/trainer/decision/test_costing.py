"""What decisions are expected to cost a day."""

from pathlib import Path

import numpy as np
import pytest

from contract.features import get_feature_names
from contract.models import Thresholds
from contract.package import read_package
from contract.settings import CostSettings
from support.tiny_model import tiny_package
from trainer.decision import costing
from trainer.decision.thresholds import compute_costs
from trainer.examples.examples import Examples

COSTS = CostSettings()
STEPS = Thresholds(flag=0.2, hold=0.5, block=0.9)
DAY_MS = 86_400_000


def test_a_decision_applies_from_its_threshold_on_after_rounding() -> None:
    score = np.array([0.0, 0.1999994, 0.1999996, 0.5, 0.8999999, 1.0])
    assert costing.decide(score, STEPS).tolist() == [0, 0, 1, 2, 3, 3]


def test_each_decision_costs_what_the_documented_table_says() -> None:
    decided = np.array([0, 1, 2, 3, 0, 3])
    fraud = np.array([True, True, True, True, False, False])
    amount = np.full(6, 100.0)
    assert costing.compute_decision_costs(decided, fraud, amount, COSTS) == pytest.approx([115, 37.5, 12.5, 0, 0, 30])


def test_expectations_are_means_per_transaction() -> None:
    found = costing.compute_expected(
        np.array([0.1, 0.3, 0.6, 0.95]), np.array([False, False, True, True]), np.full(4, 100.0), STEPS, COSTS
    )
    assert found == pytest.approx(((0 + 3 + 12.5 + 0) / 4, 0.25, 0.25, 0.25))


def test_the_worked_example_of_the_guide_is_what_the_code_computes() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "learning.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in guide.splitlines() if line.startswith("| 0.")]
    assert len(rows) == 5
    for score, *costs, cheapest in rows:
        if_fraud, if_genuine = (
            [float(column[0]) for column in compute_costs(np.array([fraud]), np.array([100.0]), COSTS)]
            for fraud in (True, False)
        )
        share = float(score)
        expected = [share * one + (1 - share) * other for one, other in zip(if_fraud, if_genuine, strict=True)]
        assert [f"{cost:.2f}" for cost in expected] == costs
        assert ("allow", "flag", "hold", "block")[int(np.argmin(expected))] == cheapest


def examples(times: list[int], fraud: list[bool]) -> Examples:
    n = len(times)
    return Examples(
        np.array(times), np.zeros((n, len(get_feature_names())), dtype=np.float32), np.array(fraud), np.ones(n)
    )


def test_traffic_is_counted_over_the_time_the_slices_span_and_never_over_less_than_an_hour() -> None:
    step = DAY_MS // 10
    first, second = (examples([at * step for at in span], [False] * len(span)) for span in (range(7), range(7, 21)))
    assert costing.estimate_traffic_per_day(first, second) == pytest.approx(21 / 2)
    assert costing.estimate_traffic_per_day(examples([5, 5, 5], [False] * 3)) == 72
    today = examples([20_000 * DAY_MS + at * step for at in range(11)], [False] * 11)
    assert costing.estimate_traffic_per_day(today) == pytest.approx(11)


def test_frauds_that_are_known_before_others_count_as_genuine_do_not_make_traffic_look_thinner() -> None:
    step = DAY_MS // 10
    genuine = [at * step for at in range(11)]
    early = examples([*genuine, 9 * DAY_MS], [False] * 11 + [True])
    assert costing.estimate_traffic_per_day(early) == pytest.approx(12)


def test_a_model_is_held_against_the_one_in_service_and_against_deciding_nothing() -> None:
    rows = 40
    features = np.zeros((rows, len(get_feature_names())), dtype=np.float32)
    features[:, 0] = np.where(np.arange(rows) % 4 == 0, 900.0, 100.0)
    fraud = np.arange(rows) % 4 == 0
    slice_ = Examples(np.arange(rows, dtype=np.int64), features, fraud, np.full(rows, 100.0))
    serving = read_package(tiny_package("m-1", thresholds=Thresholds(flag=0.99, hold=0.995, block=1.0)))
    values = costing.measure_costs(
        np.where(fraud, 0.95, 0.1), slice_, STEPS, COSTS, transactions_per_day=400.0, serving=serving
    )
    assert values["cost_per_day_nothing"] == pytest.approx(100 * 115)
    assert values["cost_per_day"] == 0
    assert values["refused_per_day"] == pytest.approx(100)
    assert values["cost_per_day_serving"] == pytest.approx(100 * 12.5)  # it holds them: a score of .9975
    assert values["step_ups_per_day_serving"] == pytest.approx(100)
    looked_at = costing.measure_costs(
        np.where(fraud, 0.3, 0.1), slice_, STEPS, COSTS, transactions_per_day=400.0, serving=None
    )
    assert looked_at["reviews_per_day"] == pytest.approx(100)
