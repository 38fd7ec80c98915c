"""From what was combined to the next model: by the purpose of the round, with what each one added where that can be known."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.federation.messages import RoundPlan, TensorShape
from contract.federation.settings import RoundSettings
from federation.coordinator.collection import Combined
from federation.coordinator.server_update import StrategyUpdate
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Arrays
from federation.messages.cross_site import Willing
from federation.messages.global_weights import GlobalWeights
from federation.numeric import calibration
from federation.refusals import UpdateRefusedError
from support.robust_round import robust_plan

SHAPES = (
    TensorShape(name="w", shape=(2,)),
    TensorShape(name="statistics", shape=(2,), role="statistics"),
    TensorShape(name="calibration", shape=(3,), role="calibration"),
)
BASE = np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype="<f4")


class Fixed:
    """A collection of known updates, combined by their plain mean."""

    def __init__(
        self, updates: dict[str, list[float]], *, blamed: tuple[str, ...] = (), figures: dict[str, float] | None = None
    ) -> None:
        self._updates = {name: np.array(update) for name, update in updates.items()}
        self._blamed, self._figures = blamed, figures or {}
        self.asked: list[frozenset[str]] = []

    def accept(self, stage: Any, opened: Any) -> None:
        raise NotImplementedError

    def accept_late(self, opened: Any, staleness: int) -> None:
        raise NotImplementedError

    def make_closing(self, stage: Any, members: Any) -> Any:
        raise NotImplementedError

    def apply_closing(self, message: Any) -> None:
        raise NotImplementedError

    def combine(self, members: frozenset[str] | None = None) -> Combined:
        if members is not None:
            self.asked.append(members)
        chosen = [update for name, update in self._updates.items() if members is None or name in members]
        return Combined(np.mean(chosen, axis=0), float(len(chosen)), len(chosen), self._figures, self._blamed)

    def measure_agreement(self, update: NDArray[np.float64]) -> dict[str, float]:
        return dict.fromkeys(self._updates, float(update[0]))

    def list_separable(self) -> tuple[str, ...]:
        return tuple(self._updates)

    def list_willing(self) -> dict[str, Willing]:
        return {}


def state(**changes: Any) -> CoordinatorState:
    return CoordinatorState(model=GlobalWeights(version=6, shapes=SHAPES, payload=BASE.tobytes()), **changes)


def plan(**changes: Any) -> RoundPlan:
    return robust_plan(**({"shapes": SHAPES} | changes))


def first_weight(arrays: Arrays) -> dict[str, float]:
    """A model is as good as its first weight is large."""
    return {"ap": float(arrays[0][0])}


THREE = {"alma": [3.0, 0.0], "berta": [0.0, 0.0], "carl": [-3.0, 3.0]}


def test_a_training_moves_the_weights_alone_and_makes_the_next_version() -> None:
    found = StrategyUpdate(RoundSettings(), first_weight).make_candidate(
        state(), plan(), Fixed({"alma": [3.0, 1.0], "berta": [1.0, 1.0]})
    )
    assert np.frombuffer(found.payload, "<f4").tolist() == [3.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert found.evaluated.model_version == 7
    assert found.evaluated.metrics == {"ap": 3.0, "moved": pytest.approx(5**0.5)}
    assert found.combined.participants == 2


def test_statistics_set_their_own_numbers_and_keep_the_optimiser() -> None:
    known = state(optimiser=b"kept")
    found = StrategyUpdate(RoundSettings()).make_candidate(
        known, plan(purpose="statistics"), Fixed({"a": [1.0, -0.5], "b": [1.0, -0.5]})
    )
    assert np.frombuffer(found.payload, "<f4").tolist() == [
        1.0,
        2.0,
        0.5,
        -0.25,
        0.0,
        0.0,
        0.0,
    ]  # over a clipping norm of 2
    assert (found.optimiser, found.contributions) == (b"kept", {})
    assert set(found.evaluated.metrics) == {"moved"}


def test_a_calibration_is_fitted_on_as_many_examples_as_the_weights_stand_for() -> None:
    random = np.random.default_rng(1)
    fraud = random.random(4_000) < 0.1
    histogram = calibration.compute_histogram(random.normal(np.where(fraud, 2.0, -2.0)), fraud)
    sums = plan(purpose="calibration", weight_unit=2_000.0)
    found = StrategyUpdate(RoundSettings()).make_candidate(
        state(), sums, Fixed(dict.fromkeys("ab", (histogram * 2.0).tolist()))
    )
    assert np.frombuffer(found.payload, "<f4")[4:] == pytest.approx(list(calibration.fit(histogram, 4_000)), rel=1e-6)
    narrow = GlobalWeights(version=6, shapes=SHAPES[:2], payload=BASE[:4].tobytes())
    lacking = plan(purpose="calibration", shapes=SHAPES[:2])
    update = StrategyUpdate(RoundSettings())
    with pytest.raises(UpdateRefusedError, match="calibration has 3 numbers"):
        update.make_candidate(CoordinatorState(model=narrow), lacking, Fixed({"a": histogram.tolist()}))


def test_of_a_few_each_one_is_left_out_once() -> None:
    updates = Fixed(THREE)
    found = StrategyUpdate(RoundSettings(), first_weight, evaluated_apart_max=3).make_candidate(
        state(), plan(), updates
    )
    assert {frozenset({"berta", "carl"}), frozenset({"alma", "carl"}), frozenset({"alma", "berta"})} <= set(
        updates.asked
    )
    assert found.contributions["alma"] > 0 > found.contributions["carl"]
    assert found.contributions["alma"] == pytest.approx(1.5)
    assert found.reputations["carl"] < found.reputations["alma"]


def test_of_more_than_that_steps_in_random_orders_tell_the_same() -> None:
    def parts() -> dict[str, float]:
        updates = Fixed({"alma": [3.0, 0.0], "berta": [0.0, 0.0], "carl": [-1.5, 0.0]})
        update = StrategyUpdate(RoundSettings(), first_weight, evaluated_apart_max=2)
        return update.make_candidate(state(), plan(), updates).contributions

    found = parts()
    assert found["alma"] > 0 > found["carl"]
    assert sum(found.values()) == pytest.approx(0.5), "together they are what the model has gained"
    assert parts() == found


@pytest.mark.parametrize(("evaluate", "apart_max"), [(None, 16), (first_weight, 0)])
def test_without_data_or_wish_to_evaluate_each_one_s_part_is_how_far_it_agrees(evaluate: Any, apart_max: int) -> None:
    found = StrategyUpdate(RoundSettings(), evaluate, evaluated_apart_max=apart_max).make_candidate(
        state(), plan(), Fixed({"alma": [0.5, 0.0], "berta": [0.5, 0.0]})
    )
    assert found.contributions == {"alma": 0.5, "berta": 0.5}


def test_of_one_alone_nothing_is_said() -> None:
    one = Fixed({"alma": [1.0, 0.0]})
    assert StrategyUpdate(RoundSettings(), first_weight).make_candidate(state(), plan(), one).contributions == {}


def test_whoever_broke_the_protocol_loses_reputation() -> None:
    known = state(reputations={"alma": 1.0, "berta": 1.0})
    liars = Fixed({"alma": [0.5, 0.0], "berta": [0.5, 0.0]}, blamed=("berta",))
    found = StrategyUpdate(RoundSettings()).make_candidate(known, plan(), liars)
    assert found.reputations["berta"] < found.reputations["alma"]
    honest = StrategyUpdate(RoundSettings()).make_candidate(
        known, plan(), Fixed({"alma": [0.5, 0.0], "berta": [0.5, 0.0]})
    )
    assert honest.reputations["berta"] == honest.reputations["alma"]


def test_what_cannot_be_measured_or_sent_is_no_candidate() -> None:
    updates = Fixed(THREE)
    with pytest.raises(UpdateRefusedError, match="cannot be evaluated"):
        StrategyUpdate(RoundSettings(), lambda _: {"ap": float("nan")}).make_candidate(state(), plan(), updates)
    with pytest.raises(UpdateRefusedError, match="cannot be evaluated"):
        StrategyUpdate(RoundSettings()).make_candidate(state(), plan(), Fixed(THREE, figures={"clipped": float("inf")}))
    with pytest.raises(UpdateRefusedError, match="finite"):
        StrategyUpdate(RoundSettings()).make_candidate(state(), plan(), Fixed({"alma": [1e39, 0.0]}))
