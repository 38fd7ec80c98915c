"""Training for a round of a federation, on real TensorFlow."""

import numpy as np
import pytest

from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from contract.statistics.ranking import average_precision
from trainer.examples.examples import Examples
from trainer.federated import joint_form, joint_statistics, local_round
from trainer.federated.local_round import Round
from trainer.model.plan import HIDDEN, Privacy

HOW = Round(epochs=2, batch_size=64, learning_rate=1e-3, prior_offset=True)


def precision(arrays: list[np.ndarray], part: Examples) -> float:
    return average_precision(local_round.compute_logits(arrays, part.features), part.fraud)


@pytest.fixture(scope="module")
def base() -> list[np.ndarray]:
    return joint_form.initialise(HIDDEN, 3)


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Frauds are dear, a fifth of all."""
    random = np.random.default_rng(5)
    fraud = random.random(400) < 0.2
    features = np.full((400, len(get_feature_names())), np.nan, dtype=np.float32)
    features[:, 0] = np.where(fraud, 400, 20) * random.lognormal(0, 0.2, 400)
    return Examples(np.arange(400, dtype=np.int64), features, fraud, features[:, 0].astype(np.float64))


@pytest.fixture(scope="module")
def trained(base: list[np.ndarray], examples: Examples) -> list[np.ndarray]:
    """By HOW with seed 1; tests only read it."""
    return local_round.train(base, examples, HOW, 1)


def test_the_same_task_gives_the_same_arrays_and_learns(
    base: list[np.ndarray], examples: Examples, trained: list[np.ndarray]
) -> None:
    again = local_round.train(base, examples, HOW, 1)
    assert all(np.array_equal(a, b) for a, b in zip(trained, again, strict=True))
    assert precision(trained, examples) > 0.95
    assert precision(trained, examples) >= precision(base, examples)


def test_the_prior_odds_stay_out_of_the_weights(base: list[np.ndarray], examples: Examples) -> None:
    with_odds, without = (
        local_round.compute_logits(
            local_round.train(base, examples, HOW._replace(prior_offset=on, epochs=6), 1), examples.features
        )
        for on in (True, False)
    )
    assert with_odds.mean() > without.mean() + 0.5  # logit(0.2) = -1.4 is what the loss added itself


def test_fedprox_stays_nearer_to_the_base(
    base: list[np.ndarray], examples: Examples, trained: list[np.ndarray]
) -> None:
    def moved(found: list[np.ndarray]) -> float:
        return float(sum(((a - b) ** 2).sum() for a, b in zip(found, base, strict=True)))

    assert moved(local_round.train(base, examples, HOW._replace(proximal_mu=5.0), 1)) < 0.9 * moved(trained)


def test_tuning_the_head_changes_nothing_else(base: list[np.ndarray], examples: Examples) -> None:
    found = local_round.train(base, examples, HOW, 1, head_only=True)
    tuned, before = joint_form.split_arrays(found), joint_form.split_arrays(base)
    assert all(np.array_equal(a, b) for a, b in zip(tuned.weights[:-2], before.weights[:-2], strict=True))
    assert not np.array_equal(tuned.weights[-2], before.weights[-2])


def test_with_privacy_no_more_is_spent_than_was_accounted_and_nobody_can_repeat_it(
    base: list[np.ndarray], examples: Examples
) -> None:
    how = Round(1, 50, 1e-3, prior_offset=False, privacy=Privacy(1.0, 1.0, 1e-5), examples_accounted=100)
    batches = list(local_round._batches(len(examples), how, np.random.default_rng(0)))
    assert len(batches) == 2  # as for 100 examples, though there are 400
    assert np.mean([len(rows) for rows in batches]) == pytest.approx(50, abs=20)
    one, other = (local_round.train(base, examples, how, 1) for _ in range(2))
    assert not np.array_equal(one[0], other[0])


def test_broken_and_foreign_bases_are_refused(base: list[np.ndarray], examples: Examples) -> None:
    broken = [array.copy() for array in base]
    broken[0][0, 0] = np.nan
    with pytest.raises(TrainingRefusedError, match="finite"):
        local_round.train(broken, examples, HOW, 1)
    with pytest.raises(TrainingRefusedError, match="shapes"):
        local_round.train(base[:-1], examples, HOW, 1)
    with pytest.raises(TrainingRefusedError, match="finite"):
        local_round.train(base, examples, HOW._replace(learning_rate=1e30), 1)


def test_statistics_stay_as_they_are_and_inputs_follow_them(base: list[np.ndarray], examples: Examples) -> None:
    pooled = joint_statistics.summarise(joint_form.list_kinds(), examples.features)
    moved = joint_form.split_arrays(base)._replace(statistics=pooled).join()
    assert not np.allclose(
        local_round.compute_logits(base, examples.features), local_round.compute_logits(moved, examples.features)
    )
    trained = local_round.train(moved, examples, HOW, 1)
    assert np.array_equal(joint_form.split_arrays(trained).statistics, pooled)
    assert precision(trained, examples) > 0.95
    one, two = (local_round.average_models(moved, other) for other in (trained, moved))
    assert all(np.array_equal(a, b) for a, b in zip(two, moved, strict=True))
    assert not np.array_equal(one[0], moved[0])
    form = local_round.build_fitted(trained).constants
    assert joint_form.hash_form(form) == joint_form.hash_form(joint_form.build_constants(statistics=pooled))


def test_each_model_is_scored_by_its_own_weights_and_form_whatever_was_scored_before(
    base: list[np.ndarray], examples: Examples, trained: list[np.ndarray]
) -> None:
    pooled = joint_statistics.summarise(joint_form.list_kinds(), examples.features)
    moved = joint_form.split_arrays(base)._replace(statistics=pooled).join()
    expected = [local_round.build_fitted(each).logits(examples.features) for each in (base, trained, moved)]
    for place in (0, 1, 2, 1, 0, 0, 2):
        scored = local_round.compute_logits((base, trained, moved)[place], examples.features)
        assert np.array_equal(scored, expected[place])
