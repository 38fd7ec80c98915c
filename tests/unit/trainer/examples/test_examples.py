"""Examples and their split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import from_epoch_ms
from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from trainer.examples.examples import FRAUDS_MIN, Examples, Split, get_data_range, refuse_thin, split


def examples(times_ms: list[int], frauds: list[bool]) -> Examples:
    n = len(times_ms)
    return Examples(
        np.array(times_ms, dtype=np.int64),
        np.zeros((n, len(get_feature_names())), np.float32),
        np.array(frauds, bool),
        np.ones(n),
    )


@given(st.integers(0, 2**32 - 1), st.integers(400, 800), st.integers(60, 1000))
def test_every_slice_lies_wholly_after_the_one_before(seed: int, rows: int, moments: int) -> None:
    random = np.random.default_rng(seed)
    whole = examples(sorted(random.integers(0, moments, rows).tolist()), [row % 2 == 0 for row in range(rows)])
    parts = split(whole)
    assert sum(len(part) for part in parts) == len(whole)
    assert parts.train.event_time_ms[-1] < parts.validation.event_time_ms[0]
    assert parts.validation.event_time_ms[-1] < parts.test.event_time_ms[0]


@pytest.mark.parametrize(
    ("frauds", "sentence"),
    [
        ([], "no labelled transaction"),
        ([False] * 100, "all 100 labelled transactions are genuine"),
        ([True] * 100, "all 100 labelled transactions are fraudulent"),
        (
            [True] * 9 + [False] * 91,
            "too few frauds: the history holds 9, 9 of them in the train slice, which needs 10; a longer history helps",
        ),
        ([True] * 20 + [False] * 80, "too few frauds: the history holds 20, 0 of them in the validation slice"),
        ([row % 2 == 0 for row in range(85)] + [True] * 15, "the test slice of the history holds no genuine"),
    ],
)
def test_a_history_that_cannot_be_learned_from_is_refused_in_one_sentence(frauds: list[bool], sentence: str) -> None:
    with pytest.raises(TrainingRefusedError, match=sentence):
        split(examples(list(range(len(frauds))), frauds))


def test_a_history_of_one_moment_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="200 labelled transactions have the same event_time"):
        split(examples([7] * 200, [row % 2 == 0 for row in range(200)]))


@pytest.mark.parametrize("times", [[0] + [7] * 199, [0] * 199 + [7]])
def test_a_history_of_nearly_one_moment_is_refused_for_its_slices(times: list[int]) -> None:
    with pytest.raises(TrainingRefusedError, match="slice"):
        split(examples(times, [row % 2 == 0 for row in range(200)]))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_handful_is_refused_in_one_sentence_too(count: int) -> None:
    with pytest.raises(TrainingRefusedError, match="too few frauds"):
        split(examples(list(range(count)), [row == 0 for row in range(count)]))


def test_a_slice_needs_so_many_frauds_and_no_more() -> None:
    def slices(**more: int) -> Split:
        counts = {name: FRAUDS_MIN[name] + more.get(name, 0) for name in Split._fields}
        return Split(*(examples(list(range(n + 1)), [True] * n + [False]) for n in counts.values()))

    refuse_thin(slices())
    for name in Split._fields:
        with pytest.raises(TrainingRefusedError, match=f"in the {name} slice"):
            refuse_thin(slices(**{name: -1}))


def test_the_range_of_the_data_is_from_the_first_to_the_last() -> None:
    found = get_data_range(examples([1_000, 2_000, 3_000], [True, False, True]))
    assert (found.first, found.last) == (from_epoch_ms(1_000), from_epoch_ms(3_000))
    assert (found.transactions, found.frauds) == (3, 2)


def test_a_part_keeps_the_weights_of_its_rows() -> None:
    whole = Examples(
        np.arange(3), np.zeros((3, len(get_feature_names())), np.float32), np.array([True, False, True]),
        np.array([5.0, 6.0, 7.0]), np.array([0.5, 1.0, 2.0]),
    )  # fmt: skip
    part = whole.select(slice(1, 3))
    assert (part.weights.tolist(), part.amount.tolist(), part.fraud.tolist()) == ([1.0, 2.0], [6.0, 7.0], [False, True])


def test_examples_out_of_order_or_of_another_width_are_not_made() -> None:
    with pytest.raises(ValueError, match="event-time order"):
        examples([2, 1], [True, False])
    with pytest.raises(ValueError, match="one row of features"):
        Examples(np.zeros(1, np.int64), np.zeros((1, 3), np.float32), np.zeros(1, bool), np.zeros(1))
    rows = np.zeros((1, len(get_feature_names())), np.float32)
    for labels, amounts in ((np.zeros(2, bool), np.zeros(1)), (np.zeros(1, bool), np.zeros(2))):
        with pytest.raises(ValueError, match="one label and one amount"):
            Examples(np.zeros(1, np.int64), rows, labels, amounts)


def test_weights_make_frauds_their_share_and_thinning_takes_some_away_over_all_the_time() -> None:
    fraud = np.arange(400) % 4 == 0
    some = Examples(np.arange(400), np.zeros((400, len(get_feature_names())), np.float32), fraud, np.ones(400))
    weighted = some.weigh_frauds(0.02)
    assert weighted.weights[fraud].sum() / weighted.weights.sum() == pytest.approx(0.02)
    assert set(weighted.weights[~fraud]) == {1.0}
    thinned = some.thin(0.02, 2)
    assert thinned.fraud.sum() == 6  # of 306: 2%
    assert thinned.event_time_ms[thinned.fraud].min() < 100
    assert thinned.event_time_ms[thinned.fraud].max() > 300
    assert some.thin(0.02, 50).fraud.sum() == 50
    assert some.thin(0.5, 2) is some
    assert some.thin(0.2, 2).fraud.sum() == 75  # of 375


def test_weights_are_above_nothing_and_one_each() -> None:
    rows = np.zeros((2, len(get_feature_names())), np.float32)
    for weight in ([1.0], [1.0, 0.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="weight"):
            Examples(np.arange(2), rows, np.array([True, False]), np.ones(2), np.array(weight))
