"""What every trained model must do, whatever its data."""

from datetime import UTC, datetime

import numpy as np
import pytest

from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from contract.models import PARITY_MAX
from contract.package import read_package
from contract.settings import CostSettings
from contract.statistics.ranking import average_precision
from trainer.examples.examples import Examples
from trainer.learning.training import Deployment, Trained, train
from trainer.model import export
from trainer.model.calibrate import Platt
from trainer.model.fit import build_calibrated, build_scorer, fit
from trainer.model.plan import Plan
from trainer.model.run_onnx import run_onnx

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def trained_on(examples: Examples, seed: int = 7) -> Trained:
    return train(examples, Deployment("shop", CostSettings()), Plan(seed=seed, epochs_max=3), NOW)


@pytest.fixture(scope="session")
def trained(examples: Examples) -> Trained:
    return trained_on(examples)


@pytest.fixture(scope="session")
def onnx(trained: Trained) -> bytes:
    return read_package(trained.package).onnx


def test_the_same_examples_and_seed_give_the_same_package(examples: Examples, trained: Trained) -> None:
    assert trained_on(examples).package == trained.package


def test_another_seed_gives_another_model(examples: Examples, trained: Trained) -> None:
    assert trained_on(examples, seed=8).manifest.onnx_sha256 != trained.manifest.onnx_sha256


def test_it_learns_what_tells_frauds(trained: Trained) -> None:
    assert trained.manifest.metrics["auc_roc"] > 0.75


def test_scores_are_probabilities_that_follow_the_share_of_frauds(examples: Examples, onnx: bytes) -> None:
    score = run_onnx(onnx, examples.features)
    assert score.shape == (len(examples),)
    assert np.all((score >= 0) & (score <= 1))
    assert score.mean() == pytest.approx(examples.fraud.mean(), abs=0.05)


def test_an_edge_that_a_smooth_network_does_not_find_is_learned_from_a_small_history(examples: Examples) -> None:
    amount = examples.features[:, 0]
    edged = Examples(examples.event_time_ms, examples.features, (amount > 1.5) & (amount < 1.8), examples.amount)
    newest = edged.select(slice(2_500, 3_000))
    reached = []
    for steps_max in (0, 192):
        plan = Plan(seed=7, epochs_max=30, steps_max=steps_max)
        fitted = fit(edged.select(slice(0, 2_000)), edged.select(slice(2_000, 2_500)), plan)
        assert (len(fitted.constants.step_columns) > 0) == (steps_max > 0)
        reached.append(average_precision(fitted.logits(newest.features), newest.fraud))
    assert reached[1] > 0.25 > reached[0]


def test_inference_is_pure(examples: Examples, onnx: bytes) -> None:
    before = examples.features[:100].copy()
    first, second = run_onnx(onnx, examples.features[:100]), run_onnx(onnx, examples.features[:100])
    assert np.array_equal(first, second)
    assert np.array_equal(before, examples.features[:100], equal_nan=True)


def test_one_by_one_gives_what_a_batch_gives(examples: Examples, onnx: bytes) -> None:
    rows = examples.features[:64]
    single = np.concatenate([run_onnx(onnx, row[None, :]) for row in rows])
    assert np.max(np.abs(single - run_onnx(onnx, rows))) <= 1e-6


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0, 1e30, np.inf, -np.inf])
def test_any_value_in_every_feature_gives_a_probability(onnx: bytes, value: float) -> None:
    (score,) = run_onnx(onnx, np.full((1, len(get_feature_names())), value, dtype=np.float32))
    assert 0 <= score <= 1


def test_a_feature_never_seen_in_training_has_no_say(examples: Examples, onnx: bytes) -> None:
    rows = examples.features[:200].copy()
    before = run_onnx(onnx, rows)
    rows[:, get_feature_names().index("terminal_count_1m") :] = 1e6
    rows[:, get_feature_names().index("category")] = np.nan
    unseen = rows.copy()
    unseen[:, get_feature_names().index("category")] = 29.0
    assert np.array_equal(run_onnx(onnx, rows), run_onnx(onnx, unseen))
    rows[:, get_feature_names().index("category")] = examples.features[:200, get_feature_names().index("category")]
    assert np.array_equal(run_onnx(onnx, rows), before)


def test_keras_and_onnx_agree_on_rows_with_and_without_holes(examples: Examples) -> None:
    fitted = fit(examples.select(slice(0, 2_000)), examples.select(slice(2_000, 3_000)), Plan(seed=1, epochs_max=1))
    model = build_calibrated(fitted, Platt(0.8, -1.0))
    exported = export.to_onnx(model)
    rows = export.build_probes(examples.features[2_000:])
    assert np.isnan(rows).any()
    difference = np.max(np.abs(build_scorer(model)(rows) - run_onnx(exported, rows)))
    assert difference <= PARITY_MAX
    assert export.measure_parity(model, exported, examples.features[2_000:]) == pytest.approx(difference)


def test_a_file_that_gives_other_numbers_or_does_not_run_is_refused(examples: Examples) -> None:
    fitted = fit(examples.select(slice(0, 2_000)), examples.select(slice(2_000, 3_000)), Plan(seed=1, epochs_max=1))
    one, other = build_calibrated(fitted, Platt(0.8, -1.0)), build_calibrated(fitted, Platt(0.8, -1.001))
    with pytest.raises(TrainingRefusedError, match="differ by"):
        export.measure_parity(one, export.to_onnx(other), examples.features[:10])
    with pytest.raises(TrainingRefusedError, match="does not run"):
        run_onnx(b"not a model", examples.features[:1])


def test_the_manifest_says_what_it_was_made_of(examples: Examples, trained: Trained) -> None:
    manifest = trained.manifest
    assert manifest.model_version.startswith("shop-20260504-030201-")
    assert (manifest.data.transactions, manifest.data.frauds) == (len(examples), int(examples.fraud.sum()))
    assert sum(transactions for transactions, _ in trained.counts.values()) == len(examples)
    assert 0 <= manifest.parity_max_abs_diff <= PARITY_MAX
    assert manifest.metrics["transactions"] == trained.counts["test"][0]


def test_labels_without_any_pattern_never_pass_for_a_good_model(examples: Examples) -> None:
    shuffled = np.random.default_rng(2).permutation(examples.fraud)
    noise = Examples(examples.event_time_ms, examples.features, shuffled, examples.amount)
    assert trained_on(noise).manifest.metrics["auc_roc"] < 0.65


def test_a_model_that_ranks_genuine_above_fraud_is_refused(examples: Examples) -> None:
    turned = examples.fraud.copy()
    turned[2_100:] = examples.features[2_100:, 0] < np.quantile(examples.features[:, 0], 0.1)
    with pytest.raises(TrainingRefusedError, match="does not tell frauds"):
        trained_on(Examples(examples.event_time_ms, examples.features, turned, examples.amount))
