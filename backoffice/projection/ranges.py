"""Which part of a list is asked for. Pure."""

from datetime import datetime
from typing import NamedTuple

from backoffice.projection.ports import PAGE_MAX
from contract.clock import to_epoch_ms


class Span(NamedTuple):
    """A time range; the end is not in it."""

    since_ms: int
    until_ms: int


class Cut(NamedTuple):
    """Where a page begins, and its length."""

    after: str | None
    limit: int


def make_span(since: datetime, until: datetime) -> Span:
    """The range in milliseconds."""
    return Span(to_epoch_ms(since), to_epoch_ms(until))


def make_cut(after: str | None, limit: int) -> Cut:
    """The page, with at least one item and PAGE_MAX at most."""
    return Cut(after, max(1, min(limit, PAGE_MAX)))
