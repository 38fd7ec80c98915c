"""Which label of a transaction counts when two models are compared."""

from datetime import timedelta

from support.learning import BEGAN, label
from trainer.learning.comparing import _add_label, _Row, _Rows

NOW = BEGAN + timedelta(days=30)


def told(*labels: tuple[float, bool]) -> bool | None:
    rows = _Rows()
    rows.put("t-1", _Row(0, 0.5, 0.5))
    for day, fraud in labels:
        _add_label(rows, label(1, day=day, fraud=fraud), NOW)
    held = rows.by_id["t-1"].label
    return None if held is None else held[1]


def test_the_latest_label_holds_and_of_equals_the_last() -> None:
    assert told((2, True), (1, False)) is True
    assert told((2, True), (2, False)) is False


def test_a_label_of_the_future_is_no_label_yet() -> None:
    assert told((400, True)) is None
    assert told((1, False), (400, True)) is False
