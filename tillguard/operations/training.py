"""What `tillguard train` does: an attempt to learn from a history file, or from the retailer's own topics. Prints nothing.

A kill at any moment leaves either no model or a whole one, and a promotion only behind a whole package.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from contract.clock import Clock, SystemClock
from contract.errors import TrainingRefusedError
from contract.settings import Settings
from tillguard.history import live, reading, replay
from trainer.examples.spool import Spool
from trainer.examples.store import ExampleStore
from trainer.feeds import outcome_feed, topic_intake
from trainer.learning.material import Material, Read, gather_from_history
from trainer.learning.source import Source, StoreSource
from trainer.learning.training_attempt import Attempt, How, make_attempt

TOPIC = "topic"
"""Instead of a file: the retailer's own feature log and labels."""

Progress = Callable[[str, int], None]
"""Told a stage (`read`, `fit`, `load`) and a count (transactions, epochs, transactions)."""


class Wishes(NamedTuple):
    """What a person may ask for beyond the settings."""

    mapping: Path | None = None
    """The connector file (kind `file`) that says what the file's columns mean; without it the file holds our own form, one
    labelled Transaction as JSON a line."""
    seed: int | None = None
    epochs_max: int | None = None
    label_delay_days: float | None = None
    """For TOPIC only."""
    private_redis: bool | None = None
    """See tillguard.history.replay.replay."""
    load: bool = True
    """Whether the live windows take the history of a file before its model serves."""


def train(
    settings: Settings,
    source: Path | str,
    wishes: Wishes | None = None,
    *,
    promote: bool = True,
    by: str = "trainer",
    clock: Clock | None = None,
    progress: Progress | None = None,
    waits: Callable[[str], None] | None = None,
) -> Attempt:
    """Trains a model on `source` from the beginning, registers it, and puts it in service where the gate lets it.

    Args:
        settings: the retailer's.
        source: a history file, or TOPIC.
        wishes: what goes before the settings.
        promote: whether the model is meant to serve.
        by: who trained it.
        clock: the machine's where None.
        progress: told how far it is.
        waits: told once, where it has to wait for another training, who is at it.

    Raises TrainingRefusedError (the history or the model is not good enough), ConfigurationError (files, mapping),
    TransientError (Kafka, Redis or the registry does not answer), TillguardError (disk). Then nothing was promoted.
    """
    clock, wishes, told = clock or SystemClock(), wishes or Wishes(), progress or ignore_progress
    with ExitStack() as opened:
        if source == TOPIC:
            store = ExampleStore(settings.trainer.examples_url.get_secret_value(), settings.retailer)
            opened.callback(store.close)
            topic_intake.take_in(settings, store, clock, lambda count: told("read", count))
            chosen: Source = StoreSource(_wished(settings, wishes), store)
        else:
            if promote and wishes.load:
                live.require_store(settings)  # known before minutes of work
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="tillguard-training-"))
            spool = opened.enter_context(Spool(Path(folder)))
            chosen = FileSource(settings, Path(source), spool, wishes, told)
        made = make_attempt(
            _wished(settings, wishes),
            chosen,
            How(by=by, fresh=True, keep=True, promote=promote),
            clock=clock,
            progress=lambda epoch, _: told("fit", epoch),
            waits=waits,
        )
    if made.outcome in {"thin", "failed"}:
        raise TrainingRefusedError(made.reason)
    return made


def ignore_progress(stage: str, count: int) -> None:
    """Nobody listens."""


class FileSource:
    """A history file: replayed into a spool, whose files the material's slices are views of."""

    def __init__(self, settings: Settings, file: Path, spool: Spool, wishes: Wishes, told: Progress) -> None:
        self.name = file.name
        self._settings, self._file, self._spool, self._wishes, self._told = settings, file, spool, wishes, told
        self._found = reading.Found(queue=reading.LabelQueue(settings.trainer.label_delay_days))
        self._replayed: replay.Replayed | None = None

    def gather_material(self, now: datetime) -> Material:
        found = self._found
        replayed = replay.replay(
            self._settings,
            reading.open_file(self._settings, self._file, self._wishes.mapping, now, found),
            self._spool,
            now=now,
            labels=found.queue,
            private=self._wishes.private_redis,
            progress=lambda count: self._told("read", count),
        )
        self._replayed = replayed
        doubts = found.describe_doubts(self._settings.trainer.label_delay_days)
        read = Read(replayed.applied, _left_out(found, replayed), (*found.describe_unusable(), *doubts))
        if not len(found.log):
            raise TrainingRefusedError(_nothing_labelled(self._file, replayed, found))
        with _explained(found.describe_unusable()):
            return gather_from_history(self._settings, self._spool, found.log, now, untimed=found.assumed, read=read)

    def make_ready(self, now: datetime) -> str | None:
        loaded = None
        if self._wishes.load:
            loaded = live.load(
                self._settings,
                self._file,
                self._wishes.mapping,
                now=now,
                progress=lambda count: self._told("load", count),
            )
        recent = {} if self._replayed is None else self._replayed.recent
        told = outcome_feed.read_from_history(self._settings, recent, self._found.log, now)
        outcome_feed.publish(self._settings, told, now)
        return None if loaded is None else live.describe_load(loaded)

    def note_learned(self, now: datetime) -> None:
        """Nothing waits for it: a file is read again as a whole."""


@contextmanager
def _explained(unusable: Sequence[str]) -> Iterator[None]:
    """Tells next to a refusal what could not be used: it may be why the history is too thin."""
    try:
        yield
    except TrainingRefusedError as error:
        raise TrainingRefusedError("; ".join([str(error), *unusable])) from None


def _wished(settings: Settings, wishes: Wishes) -> Settings:
    wanted = {
        "seed": wishes.seed,
        "epochs_max": wishes.epochs_max,
        "label_delay_days": wishes.label_delay_days,
    }
    changed = {name: value for name, value in wanted.items() if value is not None}
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update=changed)})


def _left_out(found: reading.Found, replayed: replay.Replayed) -> dict[str, int]:
    refused = found.rows.counts + replayed.refused
    return {"repeated": replayed.repeated} | {f"unusable ({reason})": count for reason, count in refused.most_common()}


def _nothing_labelled(file: Path, replayed: replay.Replayed, found: reading.Found) -> str:
    if replayed.applied:
        remedy = "" if found.unusable_labels.counts else "; training needs a column that says fraud or not"
        told = f"{file}: none of its {replayed.applied:,} transactions is labelled{remedy}"
    else:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in replayed.refused.most_common())
        told = f"{file} holds no usable transaction{f' ({reasons})' if reasons else ''}"
    return "; ".join([told, *found.describe_unusable()])
