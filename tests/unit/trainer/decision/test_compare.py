"""Champion against challenger: measures and intervals."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from contract.models import Thresholds
from contract.settings import CostSettings
from contract.statistics.ranking import auc, average_precision
from tillguard.views import compare_report
from trainer.decision import compare as comparing
from trainer.decision.compare import Pairs, compare
from trainer.decision.costing import compute_expected
from trainer.learning.comparing import Found

COSTS = CostSettings()
STEPS = Thresholds(flag=0.3, hold=0.5, block=0.8)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the largest comparisons make; nothing here asks how fine an interval is."""
    monkeypatch.setattr(comparing, "DRAWS", comparing.DRAWS_MIN)


def pairs(n: int = 3_000, *, champion: float = 0.2, challenger: float = 0.2, seed: int = 1) -> Pairs:
    """Scores that lift frauds by so much above the others."""
    random = np.random.default_rng(seed)
    fraud = random.random(n) < 0.05
    common = random.random(n) * 0.5
    lifted = [np.clip(lift * fraud + common + random.random(n) * 0.1, 0, 1).round(2) for lift in (champion, challenger)]
    return Pairs(lifted[0], lifted[1], fraud, random.exponential(60, n))


def by_name(found: comparing.Comparison) -> dict[str, comparing.Measure]:
    return {measure.name: measure for measure in found.measures}


def test_the_measures_are_those_of_training_ties_included() -> None:
    both = pairs(champion=0.1, challenger=0.4)
    found = by_name(compare(both, STEPS, STEPS, COSTS))
    for side, score in (("champion", both.champion), ("challenger", both.challenger)):
        assert getattr(found["auc"], side) == pytest.approx(auc(score, both.fraud))
        assert getattr(found["average_precision"], side) == pytest.approx(average_precision(score, both.fraud))
        caught = score >= STEPS.hold
        assert getattr(found["recall_hold"], side) == pytest.approx(both.fraud[caught].sum() / both.fraud.sum())
        assert getattr(found["precision_hold"], side) == pytest.approx(both.fraud[caught].mean())
        cost = compute_expected(score, both.fraud, both.amount, STEPS, COSTS).cost
        assert getattr(found["cost"], side) == pytest.approx(1_000 * cost)


def test_a_better_challenger_is_found_better_and_turned_around_worse() -> None:
    found = by_name(compare(pairs(champion=0.1, challenger=0.4), STEPS, STEPS, COSTS))
    assert found["average_precision"].verdict == found["auc"].verdict == found["recall_hold"].verdict == "better"
    assert found["cost"].verdict == "better"
    assert found["cost"].difference is not None
    assert found["cost"].difference < 0
    turned = by_name(compare(pairs(champion=0.4, challenger=0.1), STEPS, STEPS, COSTS))
    assert turned["average_precision"].verdict == turned["cost"].verdict == "worse"


def test_equally_good_models_are_rarely_told_apart() -> None:
    told_apart = sum(
        by_name(compare(pairs(500, seed=seed), STEPS, STEPS, COSTS))["average_precision"].verdict != "open"
        for seed in range(20)
    )
    assert told_apart <= 3  # 1 of 20 is to be expected at 95%; 3 or fewer in 98.4% of such runs


@pytest.mark.parametrize("fraud", [True, False])
def test_of_one_kind_alone_nothing_is_measured_and_both_kinds_are_counted(fraud: bool) -> None:
    scores = np.full(30, 0.5)
    alone = compare(Pairs(scores, scores, np.full(30, fraud), scores), STEPS, STEPS, COSTS)
    assert alone == comparing.Comparison([], 30 * fraud, 30 * (not fraud), 0)
    both = compare(Pairs(scores, scores, np.arange(30) < 10, scores), STEPS, STEPS, COSTS)
    assert (both.frauds, both.genuine, both.draws) == (10, 20, comparing.DRAWS_MIN)
    assert not both.enough
    assert both._replace(frauds=20).enough
    assert not both._replace(frauds=20, genuine=19).enough


def test_a_model_against_itself_differs_by_nothing() -> None:
    both = pairs()
    found = compare(replace(both, challenger=both.champion), STEPS, STEPS, COSTS)
    assert all(
        (measure.difference or 0) == (measure.low or 0) == (measure.high or 0) == 0 for measure in found.measures
    )


def test_the_same_labels_and_seed_give_the_same_intervals() -> None:
    assert compare(pairs(), STEPS, STEPS, COSTS) == compare(pairs(), STEPS, STEPS, COSTS)
    assert compare(pairs(), STEPS, STEPS, COSTS) != compare(pairs(), STEPS, STEPS, COSTS, seed=8)


def test_the_interval_is_wider_with_fewer_labels() -> None:
    def width(n: int) -> float:
        measure = by_name(compare(pairs(n), STEPS, STEPS, COSTS))["average_precision"]
        assert measure.low is not None
        assert measure.high is not None
        return measure.high - measure.low

    assert width(600) > 1.5 * width(6_000)


def test_what_cannot_be_measured_is_left_open() -> None:
    never = Thresholds(flag=0.3, hold=0.5, block=1.000001)
    unpriced = replace(pairs(), amount=np.full(3_000, np.nan))
    found = by_name(compare(unpriced, never, never, COSTS))
    assert found["precision_block"].champion is None
    assert found["precision_block"].verdict == "open"
    assert found["cost"].challenger is None
    assert found["recall_block"].champion == 0


def test_amounts_that_are_not_known_do_not_count_in_costs() -> None:
    both = pairs()
    half = np.arange(3_000) < 1_500
    partly = replace(both, amount=np.where(half, both.amount, np.nan))
    found = by_name(compare(partly, STEPS, STEPS, COSTS))
    cost = compute_expected(both.champion[half], both.fraud[half], both.amount[half], STEPS, COSTS).cost
    assert found["cost"].champion == pytest.approx(1_000 * cost)


def test_labels_of_one_kind_compare_nothing() -> None:
    both = pairs()
    found = compare(replace(both, fraud=np.zeros(3_000, dtype=np.bool_)), STEPS, STEPS, COSTS)
    assert (found.measures, found.frauds, found.enough) == ([], 0, False)


def test_many_transactions_are_drawn_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "DRAWS", 1_000)
    monkeypatch.setattr(comparing, "WORK_MAX", 3_000 * 300)
    assert compare(pairs(), STEPS, STEPS, COSTS).draws == 300


def page(both: Pairs, **changes: int) -> str:
    fields = {"scored": 4_000, "canary_answers": 0, "labelled": 200, "unripe": 900, "stopped": 0, "kept_of": 1}
    found = Found(both, replace(both, fraud=both.fraud[:0]), **(fields | changes))
    output = io.StringIO()
    compared = compare(both, STEPS, STEPS, COSTS)
    shown = compare_report.render("m-1", "m-2", found, compared, thresholds=STEPS, currency="EUR")
    Console(file=output, width=200).print(shown)
    said = compare_report.as_json("m-1", "m-2", found, compared)
    assert said["enough_labels"] == compared.enough
    return output.getvalue()


def test_the_page_says_what_a_difference_means() -> None:
    better = page(pairs(champion=0.1, challenger=0.4))
    assert "The challenger is better in average precision and in cost" in better
    assert "900 younger than the label delay" in better
    assert "cost of 1,000 transactions in EUR" in better
    assert "No difference that chance could not explain" in page(pairs())
    assert "The challenger is worse" in page(pairs(champion=0.4, challenger=0.1))


def test_with_too_few_labels_the_page_says_so_plainly_and_judges_nothing() -> None:
    few = page(pairs(200, champion=0.1, challenger=0.4))
    assert "Too few labels to tell the models apart" in few
    assert "better" not in few
    nothing = page(pairs(0), scored=0)
    assert "has scored nothing next to this champion yet" in nothing
    assert "history" not in nothing
    replayed = page(pairs(0), scored=0, answered=1_500)
    assert "answered 1,500 transactions meanwhile" in replayed
    assert "replayed file" in replayed
    assert "not scored in shadow" in replayed
