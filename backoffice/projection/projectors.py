"""The projectors of an installation: a thread for each retailer."""

from collections.abc import Iterable
from threading import Event, Thread
from typing import Self

from backoffice.projection.projector import Projector, ProjectorState

ENDS_WITHIN_S = 10.0


class ProjectorThreads:
    """A context manager: leaving it stops all of them, each after its present batch."""

    def __init__(self, projectors: Iterable[Projector]) -> None:
        self._projectors, self._stop = list(projectors), Event()
        self._threads = [
            Thread(target=each.run, args=(self._stop,), name=f"projector-{each.state.retailer}", daemon=True)
            for each in self._projectors
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(ENDS_WITHIN_S)

    def list_states(self) -> list[ProjectorState]:
        """How each does now."""
        return [each.state for each in self._projectors]
