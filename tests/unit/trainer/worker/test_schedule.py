"""When the trainer trains."""

from trainer.worker.schedule import Schedule

SCHEDULE = Schedule(every_labels=100, every_s=60.0)


def test_enough_labels_or_enough_time_with_a_label() -> None:
    assert SCHEDULE.is_due(100, 0.0)
    assert not SCHEDULE.is_due(99, 59.0)
    assert SCHEDULE.is_due(1, 60.0)
    assert not SCHEDULE.is_due(0, 10**6)


def test_what_failed_is_not_tried_again_at_once() -> None:
    assert not SCHEDULE.is_due(150, 1.0, tried_at=100)
    assert SCHEDULE.is_due(200, 1.0, tried_at=100)
    assert SCHEDULE.is_due(100, 61.0, tried_at=100)
