"""Where the examples of an attempt to learn come from."""

from datetime import datetime
from typing import Protocol

from contract.settings import Settings
from trainer.examples.store import ExampleStore
from trainer.feeds import outcome_feed
from trainer.learning.material import Material, gather_from_store


class Source(Protocol):
    """Where an attempt's examples come from."""

    name: str
    """For reports: the examples store, or a file's name."""

    def gather_material(self, now: datetime) -> Material:
        """Raises TrainingRefusedError where it is too little, TransientError, ConfigurationError, TillguardError (disk)."""
        ...

    def make_ready(self, now: datetime) -> str | None:
        """Gives the workers what they must know before a model of this source serves; asked for after `gather_material`.

        Gives a sentence for the report where there is something to say. Raises TransientError, and may then be repeated.
        """
        ...

    def note_learned(self, now: datetime) -> None:
        """Its labels have been learned from, or refused with a reason. Raises TransientError."""
        ...


class StoreSource:
    """The examples store, which the topics fill."""

    name = "examples store"

    def __init__(self, settings: Settings, store: ExampleStore) -> None:
        self._settings, self._store, self._label_number = settings, store, 0

    def gather_material(self, now: datetime) -> Material:
        self._label_number = self._store.read_label_number()
        return gather_from_store(self._settings, self._store, now)

    def make_ready(self, now: datetime) -> str | None:
        outcome_feed.publish(self._settings, outcome_feed.read_from_store(self._settings, self._store, now), now)
        return None

    def note_learned(self, now: datetime) -> None:
        self._store.note_training_ended(self._label_number, now)
