"""What the federation's benchmarks work out without a federation."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench.federation import calibration, flower_environment, inputs, local, trial
from bench.federation.fraud_kinds import select_one_kind
from bench.federation.local import Course
from bench.federation.versus_flower import summarise
from bench.handbook.protocol import Payments
from contract.features import get_feature_names
from contract.federation.settings import RoundSettings
from contract.windows import DAY_MS
from federation.learning.numpy_learner import Data, NumpyLearner
from trainer.federated import joint_form

COURSE = Course(rounds=2, epochs=2, batch_size=16, hidden=(4,))


def bank(frauds: int, examples: int) -> Data:
    random = np.random.default_rng(3)
    return Data(random.standard_normal((examples, 3)).astype(np.float32), np.arange(examples) < frauds)


def test_training_for_another_federation_is_what_a_participants_learner_does() -> None:
    own, base = bank(5, 60), local.start(3, COURSE)
    assert RoundSettings().seed == local.PLAN_SEED
    task = local.build_task(COURSE, base, COURSE.epochs, seed=RoundSettings().seed + 2)
    learner = NumpyLearner(own, own, seed=COURSE.seed + 4, dropout=COURSE.dropout)

    there = local.train_bank(base, own, COURSE, 4, 2)

    for mine, other in zip(learner.train(task).arrays, there, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("share", [0.0017, 0.01, 0.3])
def test_frauds_weigh_as_much_as_examples_whatever_their_share(share: float) -> None:
    settings = trial.build_advised_settings(COURSE, share)

    assert (1 - settings.frauds_weight) == pytest.approx(settings.frauds_weight * 100 * share)


def test_a_rounds_time_is_between_the_ends_of_two() -> None:
    rounds = [{"ended_s": end, "bytes_up": sent} for end, sent in ((10.0, 4.0), (11.0, 6.0), (14.0, 8.0), (16.0, 6.0))]

    found = summarise([*rounds[:-1], {**rounds[-1], "ap": 0.5}])

    assert found.round_s == 2.0
    assert found.bytes_up == 6.0
    assert found.ap == 0.5
    assert math.isnan(summarise(rounds[:1]).round_s)


def test_other_versions_and_another_python_get_another_environment(tmp_path: Path) -> None:
    one = flower_environment.get_folder(tmp_path, b"flwr==1", (3, 11))

    assert one.parent == tmp_path
    assert one == flower_environment.get_folder(tmp_path, b"flwr==1", (3, 11))
    assert (
        len(
            {
                one,
                *(
                    flower_environment.get_folder(tmp_path, *key)
                    for key in ((b"flwr==2", (3, 11)), (b"flwr==1", (3, 12)))
                ),
            }
        )
        == 3
    )


def test_every_pinned_file_of_flower_is_checked_by_its_hash() -> None:
    entries = [line for line in flower_environment.PINNED.read_text().splitlines() if line and line[0].isalpha()]

    assert any(line.startswith("flwr==1.41.0 ") for line in entries)
    assert all("==" in line and line.endswith("\\") for line in entries)


def test_only_columns_that_tell_something_are_kept() -> None:
    first = np.array([[1, 5, np.nan, 7], [1, 6, np.nan, 7]], dtype=np.float32)
    second = np.array([[1, 5, np.nan, np.nan]], dtype=np.float32)

    np.testing.assert_array_equal(inputs.find_telling_columns([first, second]), [1, 3])


def test_inputs_are_those_of_the_common_form() -> None:
    form = joint_form.build_constants()
    amount, flag = get_feature_names().index("amount"), int(form.missing[0])
    columns = np.array(sorted({amount, flag}))
    own = inputs.build_form(columns)
    place = int(np.searchsorted(columns, amount))
    features = np.full((3, len(columns)), np.nan, dtype=np.float32)
    features[:, place] = (15.0, 1e6, np.nan)

    found = inputs.compute_inputs(features, own)

    assert found.shape == (3, own.width)
    wanted = (math.log1p(15.0) - form.mean[amount]) * form.scale[amount]
    np.testing.assert_allclose(found[:, place], [wanted, inputs.EXTREME, 0.0], rtol=1e-5)
    cuts = len(own.step_columns[own.step_columns == place])
    steps = found[:, len(columns) : len(columns) + len(own.step_columns)][:, own.step_columns == place]
    assert cuts > 1
    np.testing.assert_array_equal(steps.sum(axis=1), [1.0, cuts, 0.0])  # 10 is passed, 20 is not
    assert found[:, -len(own.missing) :][:, own.missing == np.searchsorted(columns, flag)].all()


IDENTITY = [np.ones((1, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)]
"""A network whose logit is its input."""


def test_calibration_from_histograms_finds_the_odds_that_were_shrunk() -> None:
    random = np.random.default_rng(5)
    true = random.normal(-2, 3, 40_000)
    labels = random.random(len(true)) < 1 / (1 + np.exp(-true))
    shrunk = ((true + 1) / 4).astype(np.float32)[:, None]
    halves = [Data(shrunk[:10_000], labels[:10_000]), Data(shrunk[10_000:], labels[10_000:])]

    slope, offset = calibration.calibrate(IDENTITY, halves)

    assert slope.item() == pytest.approx(4, rel=0.05)
    assert offset.item() == pytest.approx(-1, abs=0.1)


def test_a_retailer_without_frauds_keeps_its_models_own_odds() -> None:
    nothing = Data(np.array([[-3.0], [-2.0], [-4.0]], dtype=np.float32), np.zeros(3, dtype=np.bool_))

    assert calibration.calibrate(IDENTITY, [nothing]) == IDENTITY


def test_a_retailer_of_one_kind_went_through_no_other_until_its_training_ended() -> None:
    day = np.array([0, 0, 1, 1, 5], dtype=np.int64)
    scenario = np.array([0, 1, 2, 3, 3], dtype=np.int64)
    zeros = np.zeros(5, dtype=np.int64)
    own = Payments(day * DAY_MS, zeros, zeros, zeros, scenario > 0, scenario)

    seen = select_one_kind(own, 2, 3)

    np.testing.assert_array_equal(seen.scenario, [0, 2, 3])
    assert seen.day[-1] == 5
