"""Statistics, trainings and calibrations as rounds of one kind: masked, accounted, and the same for everyone."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.federation.settings import LocalTrainingSettings, RoundPrivacySettings
from federation.audit.history import rebuild_privacy_ledger
from federation.learning import numpy_form
from federation.learning.numpy_learner import Data, NumpyLearner, compute_logits
from federation.numeric import calibration
from federation.numeric.tensors import mark_places, unflatten
from federation.simulation.world import World
from federation.transports.memory import MemoryTransport
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world, unlike, weights_of

MODES = ["masked", "robust"]
MEAN = {"rule": "mean", "weight_max": 1.0}


def made(mode: str = "masked", *, participants: int = 4, rounds: dict[str, Any] | None = None, **options: Any) -> World:
    chosen = {"robust": MEAN} | (rounds or {})
    world = small_world(small_settings(mode, **chosen), participants, form=True, **options)
    world.enrol_all()
    return world


def plans(world: World) -> list[dict[str, Any]]:
    return [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "plan"]


def purposes(world: World) -> list[str]:
    return [plan["purpose"] for plan in plans(world)]


def arrays_of(world: World) -> list[NDArray[np.float32]]:
    return unflatten(world.state.model.shapes, world.state.model.payload)


def data_of(world: World) -> list[Data]:
    found = [learner._data for learner in world._learners.values() if isinstance(learner, NumpyLearner)]
    assert len(found) == len(world._learners)
    return found


def precision_of(world: World) -> float:
    figures = [json.loads(entry.content)["metrics"] for entry in ledger_of(world) if entry.kind == "evaluated"]
    return float(figures[-1]["ap"])


@pytest.mark.parametrize("mode", MODES)
def test_statistics_come_first_and_each_training_is_calibrated_before_anyone_takes_it(mode: str) -> None:
    world = made(mode)
    world.run_rounds(2)
    assert purposes(world) == ["statistics", "training", "calibration", "training", "calibration"]
    assert {(plan["purpose"], plan["mode"]) for plan in plans(world)} == {
        ("statistics", "masked"),
        ("training", mode),
        ("calibration", "masked"),
    }, "nobody's own statistics or scores are seen in any mode"
    assert world.state.model.version == 5
    assert all(decision.endswith(" 5") for decision in world.state.adoptions.values())
    versions = [version for one in world.participants.values() for version in one.participant.state.models]
    assert set(versions) == {3, 4, 5}
    learned = {
        version: one.trainings
        for heard in world.participants.values()
        for version, one in heard.participant.state.models.items()
    }
    assert learned == {3: 1, 4: 2, 5: 2}
    statistics, scaling = arrays_of(world)[-2:]
    assert np.any(statistics)
    assert scaling[0] > 0


@pytest.mark.parametrize("mode", MODES)
def test_the_common_statistics_are_those_of_all_examples_together(mode: str) -> None:
    world = made(mode, seen=unlike)
    world.run_rounds(1)
    pooled = np.concatenate([data.features for data in data_of(world)])
    values = np.clip(np.log1p(pooled.astype(np.float64)) / numpy_form.VALUE_MAX, -1, 1)
    expected = np.concatenate([values.mean(axis=0), (values**2).mean(axis=0)]) / np.sqrt(2 * pooled.shape[1])
    np.testing.assert_allclose(arrays_of(world)[-2], expected, atol=2e-6)


def test_banks_whose_features_have_other_sizes_learn_together_with_statistics_and_not_without() -> None:
    training = LocalTrainingSettings(epochs=5, batch_size=64, learning_rate=0.01)
    found = {}
    for statistics in (True, False):
        world = made(
            rounds={"statistics": statistics, "training": training, "clip_norm": 100.0},
            seen=unlike,
            examples=4_000,
        )
        world.run_rounds(4)
        assert ("statistics" in purposes(world)) is statistics
        found[statistics] = precision_of(world)
    assert found[True] > 0.5
    assert found[False] < 0.15, "no better than chance, which gives 0.08"


@pytest.mark.parametrize("mode", MODES)
def test_the_calibration_is_close_to_that_of_all_examples_in_one_place(mode: str) -> None:
    training = LocalTrainingSettings(epochs=5, batch_size=64, learning_rate=0.01)
    world = made(mode, examples=6_000, rounds={"training": training, "clip_norm": 100.0})
    world.run_rounds(2)
    arrays = arrays_of(world)
    odds = np.concatenate([compute_logits(arrays, data.features) for data in data_of(world)])
    labels = np.concatenate([data.labels for data in data_of(world)])
    central = calibration.fit(calibration.compute_histogram(odds, labels), len(labels))
    pooled = numpy_form.read_scaling(arrays[-2:])
    assert pooled is not None
    np.testing.assert_allclose(pooled, central, atol=2e-3)
    said = calibration.compute_probability(pooled, odds)
    assert abs(said.mean() - labels.mean()) < 0.002
    ranks = np.argsort(said)
    for part in np.array_split(ranks, 5):
        assert abs(said[part].mean() - labels[part].mean()) < 0.05


def test_arrays_that_a_round_is_not_about_stay_as_they_were() -> None:
    world = made()
    before = weights_of(world)
    world.run_rounds(1)
    models = next(one.participant.state.models for one in world.participants.values())
    shapes = world.state.model.shapes
    measured, trained, calibrated = (np.frombuffer(models[version].payload, "<f4") for version in (1, 2, 3))
    for role, one, other in (
        ("weights", before, measured), ("statistics", measured, trained), ("weights", trained, calibrated),
        ("statistics", trained, calibrated), ("calibration", measured, trained),
    ):  # fmt: skip
        places = mark_places(shapes, role)  # type: ignore[arg-type]
        assert np.array_equal(one[places], other[places]), role
    weights = mark_places(shapes, "weights")
    assert not np.array_equal(measured[weights], trained[weights])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_coordinator_killed_at_any_append_ends_with_the_same_model(moment: str) -> None:
    calm = made()
    calm.run_rounds(1)
    for number in range(1, 40):
        world = made()
        transport = world.coordinator.transport
        assert isinstance(transport, MemoryTransport)
        setattr(transport, f"crash_{moment}", number)
        world.run_rounds(1)
        if world.crashes == 0:
            break
        assert purposes(world) == ["statistics", "training", "calibration"]
        np.testing.assert_allclose(weights_of(world), weights_of(calm), atol=1e-4)
    assert number > 20, "every append of three rounds was struck"


def test_where_the_calibration_fails_the_model_is_taken_as_it_is() -> None:
    world = made(rounds={"attempts_max": 2, "cohort_min": 4})
    world.order_rounds(1)
    while world.state.model.version < 2:
        world.take_turn()
        world.advance(500)
    assert not world.state.adoptions
    world.kill(["shop-0"])
    world.run_until(lambda: world.coordinator.coordinator.idle)
    world.take_turn()
    world.take_turn()
    assert purposes(world) == ["statistics", "training", "calibration", "calibration"]
    assert world.state.model.version == 2
    assert {name: said[-1] for name, said in world.state.adoptions.items()} == dict.fromkeys(
        ["shop-1", "shop-2", "shop-3"], "2"
    )


def test_calibration_comes_as_often_as_settings_say_and_after_the_last_training() -> None:
    world = made(rounds={"calibration_every": 2, "statistics": False})
    world.run_rounds(3)
    assert purposes(world) == ["training", "training", "calibration", "training", "calibration"]
    never = made(rounds={"calibration_every": 0, "statistics": False})
    never.run_rounds(2)
    assert purposes(never) == ["training", "training"]


PRIVACY = RoundPrivacySettings(level="client", noise_multiplier=4.0, epsilon_max=3.0)


def test_statistics_and_calibration_are_noised_and_cost_as_much_as_a_training() -> None:
    calm, private = made(), made(rounds={"privacy": PRIVACY})
    for world in (calm, private):
        world.run_rounds(1)
    assert not np.allclose(arrays_of(calm)[-2], arrays_of(private)[-2], atol=0.01), "without noise it would be the same"
    assert purposes(private) == ["statistics", "training", "calibration"]
    ledger = rebuild_privacy_ledger(ledger_of(private), PRIVACY)
    assert [spend.release.noise_multiplier for spend in ledger.spends] == [4.0, 4.0, 4.0]
    assert len(private.state.spends) == 3
    assert all(len(one.participant.state.spends) == 3 for one in private.participants.values())
    assert [plan["privacy"]["epsilon_before"] for plan in plans(private)[1:]] == [
        plan["privacy"]["epsilon_after"] for plan in plans(private)[:-1]
    ]


def test_a_calibration_beyond_the_budget_is_refused_and_its_model_taken_without() -> None:
    two = RoundPrivacySettings(level="client", noise_multiplier=4.0, epsilon_max=1.6)
    world = made(rounds={"privacy": two})
    world.run_rounds(5)
    world.take_turn()
    assert purposes(world) == ["statistics", "training"]
    halted = [json.loads(entry.content)["reason"] for entry in ledger_of(world) if entry.kind == "halted"]
    assert len(halted) == 1
    assert "above 1.6" in halted[0]
    assert len(world.state.adoptions) == 4


def test_at_sample_level_the_summary_itself_is_one_noisy_release() -> None:
    privacy = RoundPrivacySettings(level="sample", noise_multiplier=2.0, epsilon_max=10.0, examples_min=50)
    world = made(rounds={"privacy": privacy})
    world.run_rounds(1)
    # The numpy learner knows no DP-SGD, so trainings are refused; statistics went through.
    assert purposes(world)[:2] == ["statistics", "training"]
    first = rebuild_privacy_ledger(ledger_of(world), privacy).spends[0].release
    assert (first.noise_multiplier, first.sampling, first.steps) == (2.0, 1.0, 1)
    assert world.state.model.version == 1
    noise = arrays_of(world)[-2] - arrays_of(_measured_without(privacy))[-2]
    # Each of four adds 2 * 2 / 50 / sqrt(3), in clipping norms, to a mean of four.
    expected = 2.0 * 2 / 50 / np.sqrt(3) * np.sqrt(4) / 4
    assert 0.5 * expected < noise.std() < 2 * expected


def _measured_without(privacy: RoundPrivacySettings) -> World:
    """The same federation with next to no noise."""
    world = made(rounds={"privacy": privacy.model_copy(update={"noise_multiplier": 1e-3, "epsilon_max": 1e6})})
    world.run_rounds(1)
    return world
