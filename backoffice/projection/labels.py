"""Which of a transaction's labels holds. Pure."""

from collections.abc import Sequence
from datetime import datetime

from contract.events import Label


def find_holding(labels: Sequence[Label], now: datetime) -> Label | None:
    """The label that holds at `now`, as contract.events.Label says; `labels` as the read model gives them."""
    return next((label for label in reversed(labels) if label.label_time <= now), None)
