"""Statistics come once and first, calibration after so many trainings and after the last one, and only trainings count as ordered."""

from typing import Any

import numpy as np
import pytest

from contract.federation.fields import Purpose
from contract.federation.messages import TensorShape
from contract.federation.settings import RoundSettings
from federation.coordinator.round_schedule import choose_purpose, end_round, is_measured, needs_calibration
from federation.coordinator.state import CoordinatorState
from federation.messages.global_weights import GlobalWeights

SHAPES = (
    TensorShape(name="w", shape=(1,)),
    TensorShape(name="statistics", shape=(2,), role="statistics"),
    TensorShape(name="calibration", shape=(1,), role="calibration"),
)
EVERY_TWO = RoundSettings(calibration_every=2)


def model(*values: float, shapes: tuple[TensorShape, ...] = SHAPES) -> GlobalWeights:
    return GlobalWeights(version=1, shapes=shapes, payload=np.array(values, dtype="<f4").tobytes())


MEASURED = model(1, 0, 3, 0)
PLAIN = model(1, shapes=SHAPES[:1])


def state(known: GlobalWeights = MEASURED, **fields: Any) -> CoordinatorState:
    return CoordinatorState(model=known, **({"rounds_wanted": 3} | fields))


def test_an_array_is_measured_as_soon_as_one_of_its_numbers_is_not_zero() -> None:
    assert is_measured(MEASURED, "statistics")
    assert not is_measured(MEASURED, "calibration")
    assert not is_measured(PLAIN, "statistics")


def test_statistics_come_before_the_first_training_where_the_model_has_room_for_them_and_they_are_wanted() -> None:
    empty = model(1, 0, 0, 0)
    assert choose_purpose(state(empty), RoundSettings()) == "statistics"
    assert choose_purpose(state(empty), RoundSettings(statistics=False)) == "training"
    assert choose_purpose(state(), RoundSettings()) == "training"
    assert choose_purpose(state(PLAIN), RoundSettings()) == "training"


@pytest.mark.parametrize(
    ("uncalibrated", "wanted", "purpose"),
    [
        (0, 3, "training"),
        (1, 3, "training"),
        (2, 3, "calibration"),
        (3, 1, "calibration"),
        (1, 0, "calibration"),
        (0, 0, None),
    ],
)
def test_calibration_comes_after_so_many_trainings_and_after_the_last_one_ordered(
    uncalibrated: int, wanted: int, purpose: Purpose | None
) -> None:
    assert choose_purpose(state(uncalibrated=uncalibrated, rounds_wanted=wanted), EVERY_TWO) == purpose


def test_where_nothing_can_be_calibrated_or_it_is_not_wanted_there_is_no_such_round() -> None:
    done: dict[str, Any] = {"uncalibrated": 5, "rounds_wanted": 0}
    assert choose_purpose(state(PLAIN, **done), EVERY_TWO) is None
    assert choose_purpose(state(**done), RoundSettings(calibration_every=0)) is None
    assert not needs_calibration(state(PLAIN), RoundSettings(calibration_every=1))


@pytest.mark.parametrize(
    ("uncalibrated", "wanted", "follows"), [(0, 3, False), (1, 3, True), (0, 1, True), (0, 2, False), (0, 0, True)]
)
def test_a_training_says_beforehand_whether_its_model_will_be_calibrated(
    uncalibrated: int, wanted: int, follows: bool
) -> None:
    assert needs_calibration(state(uncalibrated=uncalibrated, rounds_wanted=wanted), EVERY_TWO) is follows


def test_a_round_that_began_keeps_its_purpose_and_an_order_to_pause_stops_all_but_a_calibration() -> None:
    begun: dict[str, Any] = {"begun": True, "uncalibrated": 2}
    assert choose_purpose(state(**begun, purpose="training"), EVERY_TWO) == "training"
    assert choose_purpose(state(**begun, purpose="training", rounds_wanted=0), EVERY_TWO) is None
    assert choose_purpose(state(**begun, purpose="calibration", rounds_wanted=0), EVERY_TWO) == "calibration"


@pytest.mark.parametrize(
    ("purpose", "published", "wanted", "uncalibrated", "unshown"),
    [
        ("training", True, 2, 2, 1),
        ("training", False, 2, 1, 0),
        ("statistics", True, 3, 1, 0),
        ("statistics", False, 2, 1, 0),
        ("calibration", True, 3, 0, 0),
        ("calibration", False, 3, 0, 0),
    ],
)
def test_what_a_round_that_ended_counts_for(
    purpose: Purpose, published: bool, wanted: int, uncalibrated: int, unshown: int
) -> None:
    ended = state(begun=True, attempt=2, uncalibrated=1)
    end_round(ended, purpose, 77, published=published)
    assert (ended.begun, ended.attempt, ended.ended_ms) == (False, 0, 77)
    assert (ended.rounds_wanted, ended.uncalibrated, ended.unshown) == (wanted, uncalibrated, unshown)


def test_no_order_falls_below_nothing() -> None:
    ended = state(rounds_wanted=0)
    end_round(ended, "training", 77, published=True)
    assert ended.rounds_wanted == 0
