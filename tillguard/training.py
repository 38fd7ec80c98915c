"""From a retailer's history to a published model: reads, replays, trains, registers, publishes.

`train` is what the command and the demonstration call, in a process of their own or not; it prints nothing. A kill at any
moment leaves either no model or a whole one, and a promotion only behind a whole package.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import structlog

from contract.clock import Clock, SystemClock, epoch_ms
from contract.errors import PackageRefusedError, PinnedError, TrainingRefusedError
from contract.features import widths
from contract.models import Manifest
from contract.money import exponent
from contract.package import Package, read_package
from contract.risk import KnownOutcome
from contract.settings import Settings
from tillguard import feature_log, history, live_history, outcome_feed, replay
from tillguard.publication import promote_model
from trainer import gate
from trainer.examples import Examples, split
from trainer.plan import Plan
from trainer.registry import Registry
from trainer.run_onnx import run_onnx
from trainer.spool import Spool
from trainer.standing import pin_objection

if TYPE_CHECKING:
    from trainer.training import Trained

log = structlog.get_logger()

TOPIC = "topic"
"""In place of a file: the retailer's own feature log and labels."""

Progress = Callable[[str, int], None]
"""Told a stage (`read`, `fit`, `load`) and a count (transactions, epochs, transactions)."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a history held, besides the examples."""

    transactions: int
    labelled: int
    repeated: int
    unripe: int
    unlabelled: int
    refused: Counter[str]
    seconds: float
    unusable: tuple[str, ...] = ()
    """Sentences about rows and labels that could not be used."""
    doubts: tuple[str, ...] = ()
    """Sentences about labels whose times make a model worse, or look better, than it is."""
    outcomes: list[KnownOutcome] = field(default_factory=list)
    """What workers must know before a model of this history serves."""


class Result(NamedTuple):
    """A finished training."""

    manifest: Manifest
    counts: dict[str, tuple[int, int]]
    """Transactions and frauds by slice (train, validation, test)."""
    read: Read
    file: Path
    package_bytes: int
    promoted: bool
    objection: str | None
    """Why it was not promoted although that was asked for."""
    live: live_history.Loaded | str | None
    """What the live windows took of the history; None: nothing was to be taken."""
    seconds: dict[str, float]
    """Wall time by stage, and `total`."""


def train(
    settings: Settings,
    source: Path | str,
    *,
    mapping: Path | None = None,
    seed: int | None = None,
    epochs_max: int | None = None,
    label_delay_days: float | None = None,
    promote: bool = True,
    load: bool = True,
    private_redis: bool | None = None,
    by: str = "trainer",
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Result:
    """Trains a model on `source`, registers it, and puts it in service unless `promote` is False or the serving one is better.

    Args:
        settings: the retailer's.
        source: a history file, or TOPIC.
        mapping: the connector file (kind `file`) that says what the file's columns mean; without it the file holds our own
            form, one labelled Transaction as JSON a line.
        seed: of everything random; from the settings where None.
        epochs_max: likewise.
        label_delay_days: likewise; for TOPIC only.
        promote: whether it goes to the workers.
        load: whether the live windows take the history of a file before its model is put in service.
        private_redis: see tillguard.replay.replay.
        by: who trained it.
        clock: the machine's where None.
        progress: told how far it is.

    Raises TrainingRefusedError (the history or the model is not good enough), ConfigurationError (files, mapping),
    TransientError (Kafka, Redis or the registry does not answer), TillguardError (disk). Then nothing was promoted.
    """
    clock = clock or SystemClock()
    started = time.monotonic()
    told = progress or silent
    plan = Plan(
        seed=settings.trainer.seed if seed is None else seed,
        epochs_max=settings.trainer.epochs_max if epochs_max is None else epochs_max,
    )
    # Opened first: a registry that cannot be used is better known before minutes of work.
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    load = load and promote and source != TOPIC
    try:
        if load:
            live_history.need_store(settings)
        with tempfile.TemporaryDirectory(prefix="tillguard-training-") as folder, Spool(Path(folder)) as spool:
            examples, read = _examples(
                settings,
                source,
                spool,
                mapping=mapping,
                label_delay_days=label_delay_days,
                private_redis=private_redis,
                now=clock.now(),
                told=told,
            )
            with _explained(read.unusable):
                test = split(examples).test  # refuses a thin history before TensorFlow's ten seconds
            serving = serving_package(registry, settings.retailer)
            from trainer import training  # noqa: PLC0415 - it imports TensorFlow

            trained = training.train(
                examples,
                training.Deployment(settings.retailer, settings.trainer.costs, settings.trainer.capacity, serving),
                plan=plan,
                now=clock.now(),
                progress=lambda epoch, _: told("fit", epoch),
            )
            objection = _objection(registry, serving, trained, test) if promote else None
            del examples, test  # views of the spool's files, which end here
        entry = registry.add(trained.package, trained.attachments)
        log.info("model_registered", model_version=entry.manifest.model_version, bytes=entry.package_bytes)
        registered = time.monotonic()
        live = None
        if promote and objection is None:
            if load:
                live = live_history.load(
                    settings, Path(source), mapping, now=clock.now(), progress=lambda count: told("load", count)
                )
            try:
                outcome_feed.publish(settings, read.outcomes, clock.now())
                promote_model(settings, registry, entry, by=by, now=clock.now(), kind="trained")
            except PinnedError as error:
                objection = str(error)
        promoted = promote and objection is None
    finally:
        registry.close()
    ended = time.monotonic()
    seconds = {"read": read.seconds, **trained.seconds, "publish": ended - registered, "total": ended - started}
    return Result(
        entry.manifest, trained.counts, read, entry.file, entry.package_bytes, promoted, objection, live, seconds
    )


def serving_package(registry: Registry, retailer: str) -> Package | None:
    """The model in service, checked; None where there is none that could score today's features."""
    entry = registry.serving(retailer)
    if entry is None or entry.manifest.feature_schema not in widths():
        return None
    try:
        return read_package(registry.package(entry))
    except PackageRefusedError as error:
        log.warning("serving_model_not_compared", model_version=entry.manifest.model_version, reason=error.reason)
        return None


def _objection(registry: Registry, champion: Package | None, trained: "Trained", test: Examples) -> str | None:
    """Why the new model must not replace the one that serves; None where it may, or where nothing comparable serves."""
    pinned = pin_objection(registry.pinned(trained.manifest.retailer))
    if pinned is not None or champion is None:
        return pinned
    rows = gate.unseen(test.event_time_ms, test.fraud, epoch_ms(champion.manifest.data.last))
    features, fraud = test.features[rows], test.fraud[rows]
    new = run_onnx(read_package(trained.package).onnx, features)
    return gate.objection(new, run_onnx(champion.onnx, features), fraud)


def silent(stage: str, count: int) -> None:
    """Nobody listens."""


def _examples(
    settings: Settings,
    source: Path | str,
    spool: Spool,
    *,
    mapping: Path | None,
    label_delay_days: float | None,
    private_redis: bool | None,
    now: datetime,
    told: Progress,
) -> tuple[Examples, Read]:
    started = time.monotonic()
    minor_per_major = 10.0 ** exponent(settings.base_currency)
    if source == TOPIC:
        found = feature_log.read(settings, spool, lambda count: told("read", count))
        delay_days = settings.trainer.label_delay_days if label_delay_days is None else label_delay_days
        joined = spool.examples(found.labels, label_delay_days=delay_days, minor_per_major=minor_per_major)
        if not len(joined.examples):
            raise TrainingRefusedError(_nothing_ripe(settings.retailer, found.records, delay_days))
        return joined.examples, Read(
            transactions=found.records,
            labelled=len(found.labels),
            repeated=0,
            unripe=joined.unripe,
            unlabelled=joined.unlabelled,
            refused=found.refused,
            seconds=time.monotonic() - started,
        )
    seen = history.Found(queue=history.LabelQueue(settings.trainer.label_delay_days))
    rows = history.open_file(settings, Path(source), mapping, now, seen)
    replayed = replay.replay(
        settings,
        rows,
        spool,
        now=now,
        labels=seen.queue,
        private=private_redis,
        progress=lambda count: told("read", count),
    )
    joined = spool.examples(seen.labels, label_delay_days=None, minor_per_major=minor_per_major)
    if not len(joined.examples):
        raise TrainingRefusedError(_nothing_labelled(Path(source), replayed, seen))
    return joined.examples, Read(
        transactions=replayed.applied,
        labelled=len(seen.labels),
        repeated=replayed.repeated,
        unripe=joined.unripe,
        unlabelled=joined.unlabelled,
        refused=seen.rows.counts + replayed.refused,
        seconds=time.monotonic() - started,
        unusable=tuple(seen.unusable()),
        doubts=tuple(seen.doubts(settings.trainer.label_delay_days)),
        outcomes=outcome_feed.of_history(settings, replayed.recent, seen.log, now),
    )


@contextmanager
def _explained(unusable: Sequence[str]) -> Iterator[None]:
    """Tells beside a refusal what could not be used: it may be why the history is too thin."""
    try:
        yield
    except TrainingRefusedError as error:
        raise TrainingRefusedError("; ".join([str(error), *unusable])) from None


def _nothing_ripe(retailer: str, records: int, delay_days: float) -> str:
    if not records:
        return f"the feature log of {retailer} is empty: no transaction was scored under this feature schema yet"
    return (
        f"none of the {records:,} transactions in the feature log is {delay_days:g} days older than the newest, so none can "
        "count as genuine yet; --label-delay-days 0 takes them all"
    )


def _nothing_labelled(file: Path, replayed: replay.Replayed, seen: history.Found) -> str:
    if replayed.applied:
        remedy = "" if seen.unusable_labels.counts else "; training needs a column that says fraud or not"
        told = f"{file}: none of its {replayed.applied:,} transactions is labelled{remedy}"
    else:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in replayed.refused.most_common())
        told = f"{file} holds no usable transaction{f' ({reasons})' if reasons else ''}"
    return "; ".join([told, *seen.unusable()])
