"""When a retailer takes a global model, and what turns it down."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.learning.gate import Rival, choose, choose_model, compute_confidence
from federation.learning.learner import Choice

RIVALS: list[Choice] = ["local", "blended", "fine_tuned"]
FRAUD = np.arange(600) % 30 == 0


def scored(signal: float, seed: int) -> np.ndarray:
    return np.asarray(signal * FRAUD + np.random.default_rng(seed).normal(size=len(FRAUD)))


def decided(scores: Mapping[Choice, np.ndarray], confidence: float = 0.9, frauds_min: int = 10) -> str:
    return choose_model(scores, FRAUD, frauds_min=frauds_min, confidence=confidence, seed=1).choice


@pytest.mark.parametrize(
    ("rivals", "choice"),
    [
        ({}, "global"),
        ({"local": Rival(0.6, 0.89)}, "global"),
        ({"local": Rival(0.6, 0.9)}, "local"),
        ({"local": Rival(0.6, 0.95), "blended": Rival(0.7, 0.92)}, "blended"),
        ({"local": Rival(0.6, 0.95), "blended": Rival(0.7, 0.5)}, "local"),
    ],
)
def test_of_those_that_are_surely_better_the_best_serves_else_the_global_one(
    rivals: dict[Choice, Rival], choice: str
) -> None:
    assert choose("global", 0.5, rivals, confidence=0.9).choice == choice


@given(
    st.dictionaries(st.sampled_from(RIVALS), st.builds(Rival, st.floats(0, 1), st.floats(0, 1))), st.floats(0.05, 0.99)
)
def test_what_is_not_surely_better_never_displaces_and_what_is_always_does(
    rivals: dict[Choice, Rival], confidence: float
) -> None:
    choice = choose("global", 0.5, rivals, confidence=confidence).choice
    if choice == "global":
        assert all(rival.surely < confidence for rival in rivals.values())
    else:
        assert rivals[choice].surely >= confidence


def test_a_worse_global_model_is_turned_down_and_a_better_one_taken() -> None:
    assert decided({"local": scored(3.0, 1), "global": scored(0.5, 2)}) == "local"
    assert decided({"local": scored(0.5, 2), "global": scored(3.0, 1)}) == "global"


def test_a_global_model_that_a_few_frauds_make_look_a_little_worse_is_taken() -> None:
    common = scored(2.0, 1)
    nearly = common + np.random.default_rng(5).normal(scale=0.3, size=len(FRAUD))
    assert decided({"local": nearly, "global": common}) == "global"
    assert decided({"local": nearly, "global": common}, confidence=0.01) == "local"


def test_the_first_global_models_must_surely_be_better_themselves_and_later_ones_not_surely_worse() -> None:
    assert [compute_confidence(0.95, trainings=number, proving=2) for number in (1, 2, 3)] == pytest.approx(
        [0.05, 0.05, 0.95]
    )
    assert compute_confidence(0.95, trainings=1, proving=0) == 0.95
    assert compute_confidence(0.05, trainings=1, proving=2) == 0.05, "who is strict with all is not lax with the first"
    for level, choice in ((0.05, "local"), (0.95, "global")):
        assert choose("global", 0.5, {"local": Rival(0.49, 0.4)}, confidence=level).choice == choice


def test_the_verdict_tells_the_figures_it_was_made_by() -> None:
    scores: dict[Choice, np.ndarray] = {"global": scored(0.5, 2), "local": scored(3.0, 1)}
    reason = choose_model(scores, FRAUD, frauds_min=10, confidence=0.9, seed=1).reason
    assert "better in 100% of resamplings" in reason
    assert "local has 0." in reason


def test_on_too_few_frauds_what_serves_stays() -> None:
    scores: dict[Choice, np.ndarray] = {"global": scored(3.0, 1), "local": scored(0.5, 2)}
    verdict = choose_model(scores, FRAUD, frauds_min=21, confidence=0.9, seed=1)
    assert verdict == ("local", "20 known frauds are too few to judge by, 21 are needed")


def test_a_newcomer_without_a_model_takes_the_global_one_whatever_is_known() -> None:
    nothing = np.zeros(len(FRAUD), dtype=bool)
    assert decided({"global": scored(0.0, 1)}, frauds_min=1000) == "global"
    assert choose_model({"global": scored(0.0, 1)}, nothing, frauds_min=5, confidence=0.9, seed=1).choice == "global"


def test_scores_that_are_no_numbers_are_of_no_candidate() -> None:
    broken = np.full(len(FRAUD), np.nan)
    assert decided({"local": scored(0.5, 2), "global": broken}) == "local"
    assert decided({"local": broken, "global": scored(0.5, 1)}) == "global"
    assert decided({"global": broken}) == "local"
