"""Drift: features, scores, and performance without labels."""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.alarms import ALARMS, Alarm
from contract.errors import PackageRefusedError
from contract.features import get_feature_names, get_schema
from contract.models import Thresholds
from contract.sections.models import DriftSettings
from contract.statistics.ranking import average_precision
from trainer.decision.costing import decide
from trainer.drift import cbpe, profile, psi
from trainer.drift.findings import (
    CRITICAL_TIMES,
    FEATURE_ALARMS_MAX,
    FeatureDrift,
    Findings,
    Performance,
    Window,
    inspect,
    list_alarms,
)
from trainer.drift.score_drift import ScoreDrift, score_drift

NOW = datetime(2026, 5, 1, tzinfo=UTC)
STEPS = Thresholds(flag=0.2, hold=0.5, block=0.8)
LIMITS = DriftSettings()
DAY_MS = 86_400_000
PLACE = {name: place for place, name in enumerate(get_feature_names())}


def ones(n: int) -> np.ndarray:
    return np.ones(n)


# Population stability index


def test_the_index_is_the_documented_sum() -> None:
    value = psi.compute_psi((0.0, [0.5, 0.5]), (0.0, [0.8, 0.2]))
    assert value == pytest.approx(0.3 * math.log(1.6) + -0.3 * math.log(0.4))


shares = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda each: (each[0] / 2, [x / sum(each[1:]) for x in each[1:]])
)


@given(shares, shares)
@settings(max_examples=40)
def test_it_is_never_negative_symmetric_and_zero_for_equals(
    then: tuple[float, list[float]], now: tuple[float, list[float]]
) -> None:
    assert psi.compute_psi(then, now) >= -1e-12
    assert psi.compute_psi(then, now) == pytest.approx(psi.compute_psi(now, then))
    assert psi.compute_psi(then, then) == 0


def test_without_drift_it_is_as_small_as_chance_makes_it() -> None:
    random = np.random.default_rng(2)
    then, now = random.exponential(5, 20_000), random.exponential(5, 5_000)
    edges = psi.compute_edges(then, ones(20_000))
    assert len(edges) == psi.BINS - 1
    found = psi.compute_psi(
        psi.compute_shares(then, ones(20_000), edges, 0), psi.compute_shares(now, ones(5_000), edges, 0)
    )
    assert found < 4 * (psi.BINS - 1) * (1 / 20_000 + 1 / 5_000)
    moved = psi.compute_shares(2 * now, ones(5_000), edges, 0)
    assert psi.compute_psi(psi.compute_shares(then, ones(20_000), edges, 0), moved) > 0.25


def test_values_that_went_missing_are_drift_and_empty_bins_are_not_infinite() -> None:
    values = np.arange(100, dtype=np.float32)
    edges = psi.compute_edges(values, ones(100))
    then = psi.compute_shares(values, ones(100), edges, 0)
    gone = psi.compute_shares(np.full(100, np.nan, dtype=np.float32), ones(100), edges, 0)
    assert gone == (1.0, [0.0] * psi.BINS)
    assert 1 < psi.compute_psi(then, gone) < 100


def test_repeated_values_share_a_bin_and_categories_have_one_each() -> None:
    values = np.array([0.0] * 90 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], dtype=np.float32)
    edges = psi.compute_edges(values, ones(100))
    assert edges == sorted(set(edges))
    assert psi.compute_shares(values, ones(100), edges, 0)[1][0] == pytest.approx(0.9)
    category = np.array([0, 0, 3, np.nan], dtype=np.float32)
    missing, found = psi.compute_shares(category, ones(4), [], 4)
    assert missing == 0.25
    assert found == pytest.approx([2 / 3, 0, 0, 1 / 3])


def test_weights_make_few_rows_stand_for_many() -> None:
    values = np.array([1.0, 2.0], dtype=np.float32)
    assert psi.compute_shares(values, np.array([3.0, 1.0]), [1.5], 0) == (0.0, [0.75, 0.25])
    assert psi.compute_quantiles(values, np.array([9.0, 1.0]), np.array([0.5]))[0] < 1.5


# Confidence-based performance estimation


def truth(score: np.ndarray, fraud: np.ndarray) -> dict[str, float]:
    found = {"average_precision": average_precision(score, fraud)}
    for at, name in enumerate(("flag", "hold", "block"), 1):
        reached = decide(score, STEPS) >= at
        found[f"precision_{name}"] = float(fraud[reached].mean())
        found[f"recall_{name}"] = float(fraud[reached].sum() / fraud.sum())
    return found


def calibrated(shift: float, n: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are the true probability of fraud; `shift` changes the mix of transactions only."""
    random = np.random.default_rng(3)
    score = (1 / (1 + np.exp(-random.normal(-3 + shift, 2.0, n)))).round(6)
    return score, random.random(n) < score


@pytest.mark.parametrize("shift", [0.0, -1.0, 1.5])
def test_under_covariate_shift_the_estimate_tracks_the_truth(shift: float) -> None:
    score, fraud = calibrated(shift)
    estimated, real = cbpe.estimate(score, STEPS), truth(score, fraud)
    assert set(estimated) == set(cbpe.NAMES)
    assert estimated == pytest.approx(real, abs=0.05)
    assert abs(estimated["average_precision"] - cbpe.estimate(calibrated(0.0)[0], STEPS)["average_precision"]) > (
        0.1 if shift else -1
    )


def test_under_concept_shift_the_estimate_stays_as_it_was_and_the_truth_does_not() -> None:
    score, before = calibrated(0.0)
    random = np.random.default_rng(4)
    unseen = before | (random.random(len(score)) < 0.1)  # a new kind of fraud that the model takes for genuine
    assert truth(score, before)["recall_flag"] - truth(score, unseen)["recall_flag"] > 0.2
    assert cbpe.estimate(score, STEPS)["recall_flag"] == pytest.approx(truth(score, before)["recall_flag"], abs=0.05)


def test_intervals_hold_the_value_repeat_and_narrow_with_more_transactions() -> None:
    few, many = calibrated(0.0, 400)[0], calibrated(0.0, 8_000)[0]
    for score in (few, many):
        found = cbpe.estimate_with_intervals(score, STEPS)
        assert found == cbpe.estimate_with_intervals(score, STEPS)
        assert all(one.low <= one.value <= one.high for one in found.values())
    one, other = (
        cbpe.estimate_with_intervals(few, STEPS)["recall_flag"],
        cbpe.estimate_with_intervals(many, STEPS)["recall_flag"],
    )
    assert one.high - one.low > 3 * (other.high - other.low)


def test_where_nothing_reaches_a_threshold_its_precision_is_left_out() -> None:
    found = cbpe.estimate(np.full(100, 0.01), STEPS)
    assert "precision_flag" not in found
    assert found["recall_flag"] == 0
    assert cbpe.estimate(np.zeros(10), STEPS) == {}
    assert cbpe.estimate_with_intervals(np.empty(0), STEPS) == {}


# Scores


def reference(score: np.ndarray) -> np.ndarray:
    return psi.compute_quantiles(score, ones(len(score)), profile.SCORE_LEVELS)


def test_scores_as_they_were_are_no_drift_and_scores_that_doubled_are() -> None:
    random = np.random.default_rng(5)
    before, now = random.beta(0.3, 10, 20_000), random.beta(0.3, 10, 20_000)
    times = np.arange(20_000, dtype=np.int64) * 1_000
    still = score_drift(reference(before), float(before.mean()), now, times, delta=0.002)
    assert not still.changed
    assert abs(still.change) < 0.1
    moved = score_drift(reference(before), float(before.mean()), np.minimum(1, 2 * now), times, delta=0.002)
    assert moved.changed
    assert moved.change == pytest.approx(1.0, abs=0.15)


def test_a_change_within_the_window_is_found_where_it_happened_whatever_the_order_of_the_rows() -> None:
    random = np.random.default_rng(6)
    before = random.beta(0.3, 10, 20_000)
    now = random.beta(0.3, 10, 20_000)
    now[12_000:] = np.minimum(1, 4 * now[12_000:])
    times = np.arange(20_000, dtype=np.int64) * 1_000
    shuffled = random.permutation(20_000)
    found = score_drift(reference(before), float(before.mean()), now[shuffled], times[shuffled], delta=0.002)
    assert found.since_ms is not None
    assert abs(found.since_ms - 12_000_000) < 1_500_000
    assert found.mean_now == pytest.approx(float(now[12_000:].mean()), rel=0.1)


# The profile


def features(n: int, seed: int = 7) -> np.ndarray:
    random = np.random.default_rng(seed)
    table = np.full((n, len(get_feature_names())), np.nan, dtype=np.float32)
    for place, feature in enumerate(get_schema()):
        table[:, place] = random.integers(0, 5, n) if feature.buckets else random.exponential(3, n)
    table[random.random(n) < 0.3, PLACE["basket_items"]] = np.nan
    return table


def scores(n: int, seed: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).beta(0.2, 2, n).round(6)


@pytest.fixture(scope="module")
def known() -> profile.Profile:
    return profile.build(features(8_000), scores(6_000), STEPS)


def test_a_profile_comes_back_as_it_was_and_is_small_whatever_it_was_made_of(known: profile.Profile) -> None:
    data = profile.encode(known)
    assert profile.decode(data) == known
    assert len(data) < 200_000
    assert known.rows == 8_000
    assert known.features[PLACE["basket_items"]].missing == pytest.approx(0.3, abs=0.03)


def test_a_profile_holds_shares_and_quantiles_and_no_value_of_a_single_transaction() -> None:
    table = features(4_000)
    table[17, PLACE["amount"]] = 98_765.43
    table[:, PLACE["channel"]] = np.nan
    data = profile.encode(profile.build(table, scores(100), STEPS))
    assert b"98765" not in data
    empty = profile.decode(data).features[PLACE["channel"]]
    assert (empty.missing, sum(empty.shares)) == (1.0, 0.0)


def test_a_damaged_profile_or_one_of_other_features_is_refused(known: profile.Profile) -> None:
    other = msgspec.structs.replace(known, feature_schema="v0-000000000000")
    short = msgspec.structs.replace(known, features=known.features[:-1])
    for data, reason in (
        (b"{", "format"),
        (b"x" * (profile.BYTES_MAX + 1), "format"),
        (profile.encode(other), "feature_schema"),
        (profile.encode(short), "format"),
    ):
        with pytest.raises(PackageRefusedError) as raised:
            profile.decode(data)
        assert raised.value.reason == reason


# Findings and alarms


def window(n: int = 5_000, *, days: float = 7.0, seed: int = 9, answered: float = 1.0) -> Window:
    times = np.linspace(0, days * DAY_MS, n).astype(np.int64) + 20_000 * DAY_MS
    score = scores(n, seed)
    score[: round(n * (1 - answered))] = np.nan
    return Window(features(n, seed), score, times)


def found_in(known: profile.Profile, seen: Window, limits: DriftSettings = LIMITS) -> Findings:
    return inspect("m-1", STEPS, known, seen, limits=limits)


def test_what_is_as_it_was_raises_nothing(known: profile.Profile) -> None:
    findings = found_in(known, window())
    assert max(feature.psi for feature in findings.features) < 0.1
    assert findings.notes == []
    assert {one.name for one in findings.performance} == set(cbpe.NAMES)
    assert list_alarms(findings, "shop", LIMITS, NOW) == []


def test_a_feature_that_moved_is_named_with_numbers_and_remedy(known: profile.Profile) -> None:
    seen = window()
    seen.features[:, PLACE["amount"]] *= 5
    (alarm,) = list_alarms(found_in(known, seen), "shop", LIMITS, NOW)
    assert (alarm.kind, alarm.subject, alarm.severity, alarm.part) == ("drift_feature", "amount", "warning", "trainer")
    assert alarm.values["psi"] > 0.25
    assert "tillguard train" in alarm.remedy
    assert alarm.kind in ALARMS


def test_when_everything_moved_only_the_furthest_raise_alarms(known: profile.Profile) -> None:
    seen = window()
    alarms = list_alarms(
        found_in(known, Window(seen.features * 9, seen.score, seen.event_time_ms)), "shop", LIMITS, NOW
    )
    assert len([alarm for alarm in alarms if alarm.kind == "drift_feature"]) == FEATURE_ALARMS_MAX


def test_time_of_day_raises_no_alarm_in_a_window_of_some_hours(known: profile.Profile) -> None:
    for days, expected in ((0.2, []), (7.0, ["hour_sin"])):
        seen = window(days=days)
        seen.features[:, PLACE["hour_sin"]] = 9.0
        findings = found_in(known, seen)
        assert findings.features[0].name == "hour_sin"
        assert [alarm.subject for alarm in list_alarms(findings, "shop", LIMITS, NOW)] == expected


def test_scores_that_rose_and_performance_that_fell_raise_their_alarms(known: profile.Profile) -> None:
    seen = window()
    risen = Window(seen.features, np.minimum(1.0, seen.score * 3), seen.event_time_ms)
    assert "drift_score" in {alarm.kind for alarm in list_alarms(found_in(known, risen), "shop", LIMITS, NOW)}
    low = Window(seen.features, np.minimum(seen.score, 0.3), seen.event_time_ms)
    fallen = [
        alarm for alarm in list_alarms(found_in(known, low), "shop", LIMITS, NOW) if alarm.kind == "drift_performance"
    ]
    assert {alarm.subject for alarm in fallen} >= {"recall_hold", "average_precision"}
    assert all(alarm.values["high"] < alarm.values["before"] for alarm in fallen)
    assert any(alarm.severity == "critical" for alarm in fallen)


def test_the_same_drift_on_the_same_day_has_the_same_id_and_another_day_another(known: profile.Profile) -> None:
    def ids(days: float) -> set[str]:
        seen = window(days=days)
        seen.features[:, PLACE["amount"]] *= 5
        return {alarm.alarm_id for alarm in list_alarms(found_in(known, seen), "shop", LIMITS, NOW)}

    assert ids(6.95) == ids(6.99)
    assert ids(6.95) != ids(9.0)


def test_too_few_transactions_say_nothing_but_that(known: profile.Profile) -> None:
    few = found_in(known, window(500))
    assert (few.features, few.score, few.performance) == ([], None, [])
    assert len(few.notes) == 2
    none = found_in(known, window(0))
    assert none.first_ms is None
    assert list_alarms(none, "shop", LIMITS, NOW) == []
    other_model = found_in(known, window(5_000, answered=0.1))
    assert other_model.features
    assert other_model.score is None


def test_scores_that_promise_no_fraud_estimate_nothing(known: profile.Profile) -> None:
    seen = window()
    findings = found_in(known, Window(seen.features, np.full(5_000, 0.0001), seen.event_time_ms))
    assert findings.performance == []
    assert any("promise fewer than 10 frauds" in note for note in findings.notes)


def test_a_model_that_gave_every_transaction_nothing_is_told_of(known: profile.Profile) -> None:
    told = "at training the model gave every transaction a score of 0"
    assert told in found_in(replace(known, score_mean=0.0), window(0)).notes
    assert told not in found_in(known, window(0)).notes


def test_of_no_values_there_are_no_edges() -> None:
    assert psi.compute_edges(np.empty(0), np.empty(0)) == []


def findings_of(**changes: Any) -> Findings:
    """Those of a model of which nothing is known but what `changes` say."""
    nothing: dict[str, Any] = {"features": [], "score": None, "performance": [], "notes": []}
    return Findings(
        **{
            "model_version": "m-1",
            "rows": 9,
            "scored": 9,
            "first_ms": 0,
            "last_ms": 20_000 * DAY_MS,
            **nothing,
            **changes,
        }
    )


def alarms_of(**changes: Any) -> list[Alarm]:
    return list_alarms(findings_of(**changes), "shop", LIMITS, NOW)


def test_an_alarm_of_a_feature_has_its_numbers_and_comes_from_the_limit_on() -> None:
    at, below = LIMITS.psi_alarm, LIMITS.psi_alarm - 1e-9
    told = alarms_of(features=[FeatureDrift(name, moved, 0.1, 0.25, judged) for name, moved, judged in (("amount", at, True), ("hour", at, False), ("basket_items", below, True))])  # fmt: skip
    (alarm,) = told
    assert (alarm.kind, alarm.subject, alarm.severity, alarm.part) == ("drift_feature", "amount", "warning", "trainer")
    assert (alarm.retailer, alarm.raised_at) == ("shop", NOW)
    assert alarm.values == {"psi": at, "missing_before": 0.1, "missing_now": 0.25}
    assert "missing 10.0% then, 25.0% now. Features that moved so far: 1." in alarm.text


@pytest.mark.parametrize(
    ("changed", "now", "raised"), [(True, 1.0, True), (True, -1.0, True), (True, 0.999, False), (False, 9.0, False)]
)
def test_an_alarm_of_scores_needs_a_change_that_is_large_enough_either_way(
    changed: bool, now: float, raised: bool
) -> None:
    before = 0.25
    mean = before * (1 + now * LIMITS.score_change_min)
    told = alarms_of(score=ScoreDrift(changed, None, before, mean))
    assert bool(told) == raised
    for alarm in told:
        assert (alarm.kind, alarm.subject) == ("drift_score", "m-1")
        assert alarm.values == {"mean_before": before, "mean_now": mean}
        assert alarm.remedy
        assert alarm.text == f"the mean score is {mean:.4f}; at training it was 0.2500"
    since = alarms_of(score=ScoreDrift(True, 0, before, 9.0))
    assert "since 1970-01-01 00:00 UTC; at training" in since[0].text


def test_an_alarm_of_performance_is_severe_where_the_loss_is_many_times_the_limit() -> None:
    limit = LIMITS.performance_loss_max
    severe = CRITICAL_TIMES * limit

    def raised(loss: float, high: float | None = None, name: str = "precision_block") -> list[Alarm]:
        now = cbpe.Estimate(0.5, 0.5 - 0.01, 0.5 if high is None else high)
        return alarms_of(performance=[Performance(name, 0.5 + loss, now)])

    assert raised(limit / 2) == []
    assert raised(severe, high=0.5 + severe - limit) == [], "the interval reaches up to the limit"
    assert [one.severity for one in raised(severe * 0.99)] == ["warning"]
    (alarm,) = raised(severe * 1.01)
    assert (alarm.severity, alarm.subject, alarm.kind) == ("critical", "precision_block", "drift_performance")
    assert alarm.values == {"before": 0.5 + severe * 1.01, "now": 0.5, "low": 0.49, "high": 0.5}
    assert "precision from block on is 0.500 (95% interval 0.490 to 0.500)" in alarm.text
    assert "average precision is 0.500" in raised(severe, name="average_precision")[0].text
    assert alarm.remedy


def test_a_profile_counts_its_rows_by_what_they_stand_for() -> None:
    seen, score = features(1_000), scores(1_000)
    amount = [feature.name for feature in get_schema()].index("amount")
    seen[:500, amount] = np.nan
    heavy = np.where(np.arange(1_000) < 500, 1.0, 3.0)
    even, weighed = (
        profile.build(seen, score, STEPS),
        profile.build(seen, score, STEPS, weight=heavy, score_weight=1 + 9 * score),
    )
    assert (even.features[amount].missing, weighed.features[amount].missing) == (0.5, 0.25)
    assert weighed.score_mean > even.score_mean
    assert weighed.scores[len(weighed.scores) // 2] > even.scores[len(even.scores) // 2]
    assert weighed.performance["recall_block"] > even.performance["recall_block"]
    assert even.score_mean == round(float(score.mean()), profile.DIGITS)
    assert all(0 <= point <= 1 for point in weighed.scores)
