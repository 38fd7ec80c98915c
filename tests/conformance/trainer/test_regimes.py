"""What every way of training must do: on from an earlier network, with weights, imbalance, privacy and limits."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from contract.errors import TrainingRefusedError
from contract.models import PARITY_MAX
from contract.package import read_package
from contract.settings import CostSettings
from contract.statistics.ranking import auc
from trainer.examples.examples import Examples, get_data_range, split
from trainer.learning.training import Deployment, Material, Trained, make
from trainer.model import fit as fit_module
from trainer.model.fit import Fitted, fit
from trainer.model.plan import Plan, Privacy
from trainer.model.run_onnx import run_onnx
from trainer.model.snapshot import ATTACHMENT, Snapshot, dump, load

from .test_model import NOW

PLAN = Plan(seed=7, epochs_max=3)
PRIVATE = replace(PLAN, privacy=Privacy(clipping_norm=1.0, noise_multiplier=0.8, delta=1e-5))
PLANS = {
    "class_weights": PLAN,
    "focal": replace(PLAN, imbalance="focal"),
    "smote": replace(PLAN, imbalance="smote"),
    "private": replace(PRIVATE, epochs_max=6, privacy=Privacy(clipping_norm=1.0, noise_multiplier=0.3, delta=1e-5)),
}
BETTER_THAN = {"private": 0.6}


def fitted(examples: Examples, plan: Plan = PLAN, start: Snapshot | None = None) -> Fitted:
    return fit(examples.select(slice(0, 2_000)), examples.select(slice(2_000, 2_600)), plan, start=start)


def quality(found: Fitted, examples: Examples) -> float:
    newest = examples.select(slice(2_600, 3_000))
    return auc(found.logits(newest.features), newest.fraud)


@pytest.fixture(scope="module")
def regime(examples: Examples) -> Callable[[str], Fitted]:
    """What each of PLANS makes of the examples; trained when it is first asked for."""
    return cache(lambda name: fitted(examples, PLANS[name]))


@pytest.fixture(scope="module")
def first(regime: Callable[[str], Fitted]) -> Snapshot:
    kept = regime("class_weights").take_snapshot()
    return load(dump(kept.constants, kept.weights))


@pytest.mark.parametrize("name", PLANS)
def test_every_regime_learns_what_tells_frauds(name: str, regime: Callable[[str], Fitted], examples: Examples) -> None:
    assert quality(regime(name), examples) > BETTER_THAN.get(name, 0.7)


@pytest.mark.parametrize("name", ["focal", "smote"])
def test_a_seeded_regime_repeats(name: str, regime: Callable[[str], Fitted], examples: Examples) -> None:
    one, same = (found.take_snapshot().weights for found in (regime(name), fitted(examples, PLANS[name])))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))


def test_a_warm_start_repeats_and_begins_where_the_network_stood(examples: Examples, first: Snapshot) -> None:
    one, same = (fitted(examples, PLAN, first) for _ in range(2))
    for a, b in zip(one.take_snapshot().weights, same.take_snapshot().weights, strict=True):
        assert np.array_equal(a, b)
    still = fitted(examples, replace(PLAN, epochs_max=0), first)
    assert still.epochs == 0
    assert all(np.array_equal(a, b) for a, b in zip(still.take_snapshot().weights, first.weights, strict=True))
    assert np.array_equal(still.constants.mean, first.constants.mean)


def test_what_is_learned_on_the_way_and_is_worse_is_not_kept(examples: Examples, first: Snapshot) -> None:
    backwards = replace(examples.select(slice(0, 2_000)), fraud=~examples.fraud[:2_000])
    found = fit(backwards, examples.select(slice(2_000, 2_600)), PLAN, start=first)
    assert found.epochs == 0
    assert found.epochs_run > 0


def test_a_network_of_another_form_is_refused(examples: Examples, first: Snapshot) -> None:
    for weights in (first.weights[:-1], [*first.weights[:-1], np.zeros(7, np.float32)]):
        with pytest.raises(TrainingRefusedError, match="another form"):
            fitted(examples, PLAN, Snapshot(first.constants, weights))


def test_weight_decides_between_examples_that_contradict_each_other(examples: Examples) -> None:
    train = examples.select(slice(0, 2_000))
    wrong = replace(train, fraud=~train.fraud)
    both = Examples(
        np.repeat(train.event_time_ms, 2),
        np.repeat(train.features, 2, axis=0),
        np.stack((train.fraud, wrong.fraud), axis=1).ravel(),
        np.repeat(train.amount, 2),
        np.tile([1.0, 0.02], 2_000),
    )
    found = fit(both, examples.select(slice(2_000, 2_600)), replace(PLAN, imbalance="focal", focal_gamma=0.0))
    assert quality(found, examples) > 0.7


def test_the_time_to_learn_is_bounded(examples: Examples, first: Snapshot) -> None:
    # `first` has loaded whatever is loaded on first use
    started = time.monotonic()
    found = fitted(examples, replace(PLAN, epochs_max=10_000, seconds_max=0.0))
    assert found.epochs_run == 1
    assert found.steps == 1
    assert found.cut_short
    assert time.monotonic() - started < 60


def test_the_noise_of_a_private_training_cannot_be_drawn_again(examples: Examples) -> None:
    one, other = (fitted(examples, replace(PRIVATE, epochs_max=1)).take_snapshot().weights for _ in range(2))
    assert not np.array_equal(one[0], other[0])


def test_without_noise_no_example_moves_a_step_further_than_its_clipping_norm(examples: Examples) -> None:
    from trainer.model import network
    from trainer.model.preprocessing import fit_constants
    from trainer.model.steps import build_private_step
    from trainer.model.tensorflow import keras

    rows = examples.features[:200]
    net = network.build(fit_constants(examples.features), rows.shape[1])
    before = net.get_weights()
    step = build_private_step(net, keras.optimizers.SGD(1.0), Privacy(0.5, 1e-9, 1e-5), 0.0, expected=100)
    step(rows, examples.fraud[:200].astype(np.float32), np.full(200, 1_000.0, np.float32))
    moved = np.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(before, net.get_weights(), strict=True)))
    assert 0 < moved <= 0.5 * 200 / 100 * 1.001


def test_a_sum_of_clipped_gradients_is_that_of_single_ones(examples: Examples) -> None:
    from trainer.model import network
    from trainer.model.preprocessing import fit_constants
    from trainer.model.steps import build_private_step
    from trainer.model.tensorflow import keras

    constants = fit_constants(examples.features)
    moves = []
    for parts in ([slice(0, 100)], [slice(at, at + 1) for at in range(100)]):
        keras.utils.set_random_seed(1)
        net = network.build(constants, examples.features.shape[1])
        before = net.get_weights()
        step = build_private_step(net, keras.optimizers.SGD(1.0), Privacy(0.1, 1e-9, 1e-5), 0.0, expected=100)
        total = [np.zeros_like(weight) for weight in before]
        for part in parts:
            net.set_weights(before)
            step(examples.features[part], examples.fraud[part].astype(np.float32), np.ones(100, np.float32)[part])
            total = [sum_ + after - was for sum_, after, was in zip(total, net.get_weights(), before, strict=True)]
        moves.append(np.concatenate([each.ravel() for each in total]))
    assert np.linalg.norm(moves[0] - moves[1]) < 1e-3 * np.linalg.norm(moves[0])


@pytest.fixture(scope="module")
def made_from(examples: Examples, first: Snapshot) -> Trained:
    weighted = replace(examples, weight=np.where(examples.fraud, 1.0, 0.5))
    material = Material(
        split(weighted), get_data_range(examples), fraud_share=0.02, base="m-0", start=first, notes={"replayed": 3}
    )
    return make(material, Deployment("shop", CostSettings()), PRIVATE, NOW)


def test_scores_follow_the_share_of_frauds_that_is_said(examples: Examples, made_from: Trained) -> None:
    test = split(examples).test
    score = run_onnx(read_package(made_from.package).onnx, test.features)
    genuine, fraud = score[~test.fraud].mean(), score[test.fraud].mean()
    assert 0.98 * genuine + 0.02 * fraud == pytest.approx(0.02, abs=0.01)
    assert made_from.manifest.metrics["frauds"] / made_from.manifest.metrics["transactions"] < 0.03


def test_the_manifest_tells_the_lineage_and_what_a_privacy_ledger_needs(made_from: Trained) -> None:
    manifest = made_from.manifest
    assert manifest.base == "m-0"
    assert manifest.parity_max_abs_diff <= PARITY_MAX
    parameters = manifest.parameters
    assert parameters["replayed"] == 3
    assert parameters["learning_rate"] == fit_module.LEARNING_RATE_WARM
    assert (parameters["dp_noise_multiplier"], parameters["dp_clipping_norm"]) == (0.8, 1.0)
    assert float(parameters["dp_sampling_rate"]) == pytest.approx(64 / 2_100, rel=0.05)
    assert float(parameters["dp_steps"]) > 30
    assert 0.5 < float(parameters["dp_epsilon"]) < 50
    assert load(made_from.attachments[ATTACHMENT]).weights
