"""When a new model may take the place of the one that serves."""

import numpy as np

from trainer.gate import FRAUDS_MIN, LOSS_MAX, objection, unseen

FRAUD = np.arange(100) % 10 == 0
GOOD = FRAUD.astype(float)
BAD = 1.0 - GOOD


def test_a_clearly_worse_model_is_objected_to_with_both_figures() -> None:
    sentence = objection(BAD, GOOD, FRAUD)
    assert sentence is not None
    assert "1.000" in sentence
    assert "newest 100 transactions" in sentence


def test_a_better_or_equal_model_is_not() -> None:
    assert objection(GOOD, BAD, FRAUD) is None
    assert objection(GOOD, GOOD, FRAUD) is None


def test_a_loss_within_the_luck_of_few_frauds_is_not() -> None:
    fraud = np.arange(10_000) < 100
    nearly = fraud.astype(float)
    nearly[99] = -1.0  # one of a hundred frauds ranked last
    assert 0 < 1 / 100 < LOSS_MAX
    assert objection(nearly, fraud.astype(float), fraud) is None


def test_only_what_the_serving_model_never_saw_is_compared_on_where_it_holds_enough_frauds() -> None:
    times = np.arange(100)
    assert unseen(times, FRAUD, 49).sum() == 50
    assert unseen(times, FRAUD, 99 - 10 * (FRAUDS_MIN - 1)).all()
    assert unseen(times, FRAUD, 1_000).all()
