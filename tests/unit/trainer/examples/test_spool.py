"""Feature rows on disk."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.clock import to_epoch_ms
from contract.errors import TillguardError
from contract.features import get_feature_names
from contract.windows import DAY_MS
from trainer.examples import spool as spool_module
from trainer.examples.spool import Spool

START = datetime(2026, 1, 1, tzinfo=UTC)


def add(spool: Spool, name: str, day: float, *, seq: int = 1, value: float = 0.0) -> None:
    row = np.full((1, len(get_feature_names())), value, dtype=np.float32)
    spool.append([name], [to_epoch_ms(START) + int(day * DAY_MS)], [seq], [1234], row)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=60))
def test_transactions_come_in_event_time_order_each_with_its_own_row(
    tmp_path: Path, rows: list[tuple[int, int]]
) -> None:
    last: dict[str, tuple[int, int]] = {}
    with Spool(tmp_path) as spool:
        for seq, (name, day) in enumerate(rows, start=1):
            add(spool, str(name), day, seq=seq, value=seq)
            last[str(name)] = (day, seq)
        found = spool.read_columns()
        wanted = sorted((day, seq, name) for name, (day, seq) in last.items())
        assert found.transaction_ids == [name for _, _, name in wanted]
        assert found.applied_seq.tolist() == [seq for _, seq, _ in wanted]
        assert set(found.amount_base_minor.tolist()) <= {1234}
        features = spool.read_features(found.transaction_ids)
        assert features[:, 0].tolist() == features[:, -1].tolist() == [float(seq) for _, seq, _ in wanted]
        some = found.transaction_ids[::2]
        assert spool.read_features(some)[:, 0].tolist() == [float(seq) for _, seq, _ in wanted][::2]


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        add(spool, "b", 2)
        add(spool, "a", 1)
        spool.read_features(["a", "b"])
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "rows.f4").symlink_to("/dev/full")
    rows = np.zeros((50, len(get_feature_names())), np.float32)
    with pytest.raises(TillguardError, match=r"do not fit in .*No space left on device"), Spool(tmp_path) as spool:
        spool.append([str(number) for number in range(50)], [0] * 50, [1] * 50, [1] * 50, rows)
    assert not list(tmp_path.iterdir())


def test_gathering_in_small_pieces_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "GATHERED_ROWS", 3)
    with Spool(tmp_path) as spool:
        for number in range(10):
            add(spool, str(number), 10 - number, value=number)
        assert spool.read_features(spool.read_columns().transaction_ids)[:, 0].tolist() == [
            float(number) for number in range(9, -1, -1)
        ]
