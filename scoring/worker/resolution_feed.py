"""Resolutions of held transactions, scored by the same pipeline as transactions."""

from collections.abc import Sequence

from scoring.engine.resolutions import CaseResolver
from scoring.ports import EventResult, RawEvent


class ResolutionScorer:
    """A Scorer over the resolutions topic, so that resolutions go through the same pipeline as transactions."""

    def __init__(self, resolver: CaseResolver) -> None:
        self._resolver = resolver

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[EventResult]:
        return self._resolver.resolve(ticket)

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        return self._resolver.resolve(events)

    def run_deferred(self) -> None:
        """Nothing follows."""
