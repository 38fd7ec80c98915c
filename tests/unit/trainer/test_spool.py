"""Feature rows on disk, and the examples that they become."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.clock import epoch_ms
from contract.errors import TillguardError
from contract.events import Label, Origin
from contract.features import names
from contract.windows import DAY_MS
from tillguard.feature_log import newest_labels
from trainer import spool as spool_module
from trainer.spool import Spool

START = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(connector="c", phase="stream", source="s", position="1")


def add(spool: Spool, name: str, day: float, *, seq: int = 1, value: float = 0.0) -> None:
    row = np.full((1, len(names())), value, dtype=np.float32)
    spool.append([name], [epoch_ms(START) + int(day * DAY_MS)], [seq], [1234], row)


def label(name: str, day: float, *, fraud: bool) -> Label:
    return Label(
        transaction_id=name, retailer="shop", fraud=fraud, source="chargeback", label_time=START + timedelta(days=day),
        ingest_time=START, origin=ORIGIN,
    )  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.booleans()), max_size=60))
def test_examples_come_in_event_time_order_each_with_its_own_row(
    tmp_path: Path, rows: list[tuple[int, int, bool]]
) -> None:
    last: dict[str, tuple[int, int, int]] = {}
    labels: dict[str, bool] = {}
    with Spool(tmp_path) as spool:
        for seq, (name, day, fraud) in enumerate(rows, start=1):
            add(spool, str(name), day, seq=seq, value=seq)
            last[str(name)] = (day, seq, seq)
            labels[str(name)] = fraud
        examples = spool.examples(labels, label_delay_days=0, minor_per_major=100).examples
        wanted = sorted((day, seq, name) for name, (day, seq, _) in last.items())
        assert examples.features[:, 0].tolist() == [float(seq) for _, seq, _ in wanted]
        assert examples.features[:, -1].tolist() == [float(seq) for _, seq, _ in wanted]
        assert examples.fraud.tolist() == [labels[name] for _, _, name in wanted]
        assert set(examples.amount.tolist()) <= {12.34}


def test_what_is_younger_than_the_label_delay_is_left_out_even_when_it_is_labelled(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for name, day in (("old", 0.0), ("edge", 3.0), ("young", 3.5), ("newest", 10.0)):
            add(spool, name, day)
        joined = spool.examples({"young": True}, label_delay_days=7, minor_per_major=100)
        assert (len(joined.examples), joined.unripe) == (2, 2)
        assert not joined.examples.fraud.any()


def test_without_a_delay_only_labelled_ones_become_examples(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        for name in ("a", "b", "c"):
            add(spool, name, 1)
        joined = spool.examples({"a": False, "c": True}, label_delay_days=None, minor_per_major=100)
        assert joined.examples.fraud.tolist() == [False, True]
        assert joined.unlabelled == 1


def test_an_empty_spool_gives_no_examples(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        assert len(spool.examples({}, label_delay_days=7, minor_per_major=100).examples) == 0


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        add(spool, "b", 2)
        add(spool, "a", 1)
        spool.examples({}, label_delay_days=0, minor_per_major=100)
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.f4").symlink_to("/dev/full")
    rows = np.zeros((50, len(names())), np.float32)
    with pytest.raises(TillguardError, match=r"do not fit in .*No space left on device"), Spool(tmp_path) as spool:
        spool.append([str(number) for number in range(50)], [0] * 50, [1] * 50, [1] * 50, rows)
    assert not list(tmp_path.iterdir())


def test_the_label_with_the_latest_label_time_wins_in_whatever_order_they_come() -> None:
    early, late = label("a", 1, fraud=True), label("a", 2, fraud=False)
    assert newest_labels([early, late]) == newest_labels([late, early]) == {"a": False}


def test_of_labels_with_equal_times_the_one_read_last_wins() -> None:
    assert newest_labels([label("a", 1, fraud=True), label("a", 1, fraud=False)]) == {"a": False}


def test_gathering_in_small_pieces_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "GATHERED_ROWS", 3)
    with Spool(tmp_path) as spool:
        for number in range(10):
            add(spool, str(number), 10 - number, value=number)
        examples = spool.examples({}, label_delay_days=0, minor_per_major=100).examples
        assert examples.features[:, 0].tolist() == [float(number) for number in range(9, -1, -1)]
