"""Examples, their join and their split."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import TrainingRefusedError
from contract.events import Label, Origin
from contract.features import FeatureRecord, names, schema_hash
from trainer.examples import Examples, join, newest_labels, split

START = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(connector="c", phase="stream", source="s", position="1")


def examples(times_ms: list[int], frauds: list[bool]) -> Examples:
    n = len(times_ms)
    return Examples(
        np.array(times_ms, dtype=np.int64), np.zeros((n, len(names())), np.float32), np.array(frauds, bool), np.ones(n)
    )


def record(name: str, day: float, *, seq: int = 1, schema: str | None = None, value: float = 0.0) -> FeatureRecord:
    return FeatureRecord(
        transaction_id=name,
        retailer="shop",
        event_time=START + timedelta(days=day),
        applied_seq=seq,
        feature_schema=schema or schema_hash(),
        values=np.full(len(names()), value, dtype="<f4").tobytes(),
        score=0.1,
        model_version="m",
        rules_version="r",
        decision="allow",
        amount_base_minor=1234,
    )


def label(name: str, fraud: bool, day: float) -> Label:
    return Label(
        transaction_id=name, retailer="shop", fraud=fraud, source="chargeback", label_time=START + timedelta(days=day),
        ingest_time=START, origin=ORIGIN,
    )  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(100, 400), st.integers(30, 1000))
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
        ([True] * 9 + [False] * 91, "too few frauds: the train slice of the history holds 9 of 9, it needs 10"),
        ([True] * 20 + [False] * 80, "too few frauds: the validation slice"),
        ([row % 2 == 0 for row in range(85)] + [True] * 15, "the test slice of the history holds no genuine"),
    ],
)
def test_a_history_that_cannot_be_learned_from_is_refused_in_one_sentence(frauds: list[bool], sentence: str) -> None:
    with pytest.raises(TrainingRefusedError, match=sentence):
        split(examples(list(range(len(frauds))), frauds))


def test_a_history_of_one_moment_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="too few frauds"):
        split(examples([7] * 200, [row % 2 == 0 for row in range(200)]))


def test_examples_out_of_order_or_of_another_width_are_not_made() -> None:
    with pytest.raises(ValueError, match="event-time order"):
        examples([2, 1], [True, False])
    with pytest.raises(ValueError, match="one row of features"):
        Examples(np.zeros(1, np.int64), np.zeros((1, 3), np.float32), np.zeros(1, bool), np.zeros(1))


def test_the_label_with_the_latest_label_time_wins_in_whatever_order_they_come() -> None:
    early, late = label("a", fraud=True, day=1), label("a", fraud=False, day=2)
    assert newest_labels([early, late]) == newest_labels([late, early]) == {"a": False}


def test_of_labels_with_equal_times_the_one_read_last_wins() -> None:
    assert newest_labels([label("a", fraud=True, day=1), label("a", fraud=False, day=1)]) == {"a": False}


def test_the_join_orders_by_event_time_and_counts_a_redelivered_record_once() -> None:
    records = [record("b", 2, value=2), record("a", 1, value=1), record("b", 2, value=2)]
    joined = join(records, {"b": True}, label_delay_days=0, minor_per_major=100)
    assert joined.examples.fraud.tolist() == [False, True]
    assert joined.examples.features[:, 0].tolist() == [1.0, 2.0]
    assert joined.examples.amount.tolist() == [12.34, 12.34]


def test_what_is_younger_than_the_label_delay_is_left_out_even_when_it_is_labelled() -> None:
    records = [record("old", 0), record("edge", 3), record("young", 3.5), record("newest", 10)]
    joined = join(records, {"young": True}, label_delay_days=7, minor_per_major=100)
    assert len(joined.examples) == 2
    assert joined.unripe == 2
    assert not joined.examples.fraud.any()


def test_records_of_another_feature_schema_are_left_out_and_counted() -> None:
    joined = join([record("a", 1, schema="v0-000000000000"), record("b", 1)], {}, label_delay_days=0, minor_per_major=1)
    assert (len(joined.examples), joined.other_schema) == (1, 1)


def test_an_empty_feature_log_joins_to_no_examples() -> None:
    assert len(join([], {}, label_delay_days=7, minor_per_major=100).examples) == 0
