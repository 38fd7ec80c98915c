"""One attempt to learn, whatever from: choose, train, compare, and publish only what is better. Every command that trains makes it.

Nothing is put in service by half: what is learned lies whole in the registry before the first byte goes to Kafka, the workers know the
outcomes that it needs before it serves, and the labels count as learned from only after that. So an attempt that is killed anywhere
is simply made again. A retailer's attempts follow one another: the second waits, and meets the first one's model.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog

from contract.clock import Clock, SystemClock
from contract.errors import (
    PackageRefusedError,
    PinnedError,
    ServingChangedError,
    TrainingRefusedError,
    TransientError,
)
from contract.features import get_schema_hash
from contract.settings import Settings, TrainerSettings
from runtime.locks import LockBusyError
from trainer.examples.store import ExampleStore
from trainer.learning.judging import Judgement, Opponent, find_opponent, judge
from trainer.learning.material import Material, Read
from trainer.learning.publication import promote_model
from trainer.learning.source import Source, StoreSource
from trainer.model import snapshot
from trainer.model.plan import Plan, Privacy
from trainer.registry.registry import Entry, Registry, Tried
from trainer.registry.serving_state import pin_objection

if TYPE_CHECKING:
    from trainer.learning.training import Trained

log = structlog.get_logger()

AttemptResult = Literal["published", "registered", "refused", "pinned", "thin", "failed"]
"""`registered`: made without being meant to serve; `thin`: the examples are too few yet; `failed`: the network or its export did not
pass its checks, or what serves cannot be read."""
Progress = Callable[[int, float], None]
COMPARISONS_MAX = 3
"""With models that a person puts in service while a training compares."""


@dataclass(frozen=True, slots=True)
class How:
    """What is to become of an attempt's model."""

    by: str = "trainer"
    """Who is noted as having promoted it."""
    fresh: bool = False
    """From the beginning, not on from the serving model."""
    keep: bool = False
    """Registers a refused model as well, so that a person may still promote it; and trains also while a model is pinned."""
    promote: bool = True
    """Whether it is meant to serve."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt."""

    outcome: AttemptResult
    reason: str
    """In a sentence, with numbers."""
    source: str = StoreSource.name
    model_version: str | None = None
    """The model that was trained, registered or not."""
    base: str | None = None
    """The model it was learned on from."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Examples and frauds by slice (train, validation, test)."""
    comparison: dict[str, float] = field(default_factory=dict)
    """The gate's numbers."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage, and `total`."""
    registered: Entry | None = None
    read: Read | None = None
    """What its source held; None where that was too little."""
    live: str | None = None
    """What the workers' windows took of it, in a sentence."""


def learn(
    settings: Settings,
    how: How | None = None,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    waits: Callable[[str], None] | None = None,
) -> Attempt:
    """Makes one attempt on the examples store; see `make_attempt`."""
    store = ExampleStore(settings.trainer.examples_url.get_secret_value(), settings.retailer)
    try:
        return make_attempt(settings, StoreSource(settings, store), how, clock=clock, progress=progress, waits=waits)
    finally:
        store.close()


def make_attempt(
    settings: Settings,
    source: Source,
    how: How | None = None,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    waits: Callable[[str], None] | None = None,
) -> Attempt:
    """Makes one attempt, after another one of this retailer that is under way.

    Args:
        settings: the retailer's.
        source: of the examples.
        how: what is to become of the model; None: as the running trainer does.
        clock: the machine's where None.
        progress: told each epoch's number and average precision.
        waits: told once, where it has to wait for another training, who is at it.

    Raises TransientError where a store, the registry or Kafka does not answer, or another training does not end; ConfigurationError
    for a source that cannot be used; TillguardError for a full disk. Then nothing new serves, and the labels still count as new.
    """
    clock, how = clock or SystemClock(), how or How()
    trainer = settings.trainer
    # Opened first: a registry that cannot be used is better known before minutes of work.
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    try:
        with registry.hold("training", settings.retailer, wait_s=trainer.training_s_max, waits=waits or _log_wait):
            started_s = time.monotonic()
            made = _Attempt(settings, registry, source, how, clock, progress).make()
            made.seconds["total"] = time.monotonic() - started_s
            _note(settings, registry, made, clock.now())
    except LockBusyError as busy:
        raise TransientError(
            f"another training of {settings.retailer} has been under way for {trainer.training_s_max:g} s ({busy.by}): try again "
            "when it has ended"
        ) from None
    else:
        return made
    finally:
        registry.close()


def build_plan(trainer: TrainerSettings) -> Plan:
    """How the settings say to train."""
    private = trainer.privacy
    privacy = Privacy(private.clipping_norm, private.noise_multiplier, private.delta) if private.enabled else None
    return Plan(
        seed=trainer.seed,
        epochs_max=trainer.epochs_max,
        seconds_max=trainer.training_s_max,
        imbalance=trainer.imbalance,
        focal_gamma=trainer.focal_gamma,
        privacy=privacy,
    )


def _log_wait(by: str) -> None:
    log.info("training_waits", for_=by)


def _note(settings: Settings, registry: Registry, made: Attempt, now: datetime) -> None:
    """Keeps why, for `tillguard trainer attempts`; what is learned does not depend on it."""
    seconds = {f"{stage}_s": value for stage, value in made.seconds.items()}
    figures = made.comparison | seconds
    tried = Tried(now, made.outcome, made.reason, made.model_version, made.base, figures, made.source)
    try:
        registry.note_attempt(settings.retailer, tried)
    except TransientError as error:
        log.warning("attempt_not_noted", outcome=made.outcome, reason=str(error))


class _Base(NamedTuple):
    model_version: str
    network: snapshot.Snapshot


@dataclass(slots=True)
class _Attempt:
    """One attempt, of which the lock is held."""

    settings: Settings
    registry: Registry
    source: Source
    how: How
    clock: Clock
    progress: Progress | None
    live: str | None = None

    def make(self) -> Attempt:
        pinned = pin_objection(self.registry.find_pin(self.settings.retailer))
        if pinned is not None and not self.how.keep:
            return self._ended("pinned", pinned)
        _finish_promotion(self.settings, self.registry, self.clock.now())
        started_s = time.monotonic()
        try:
            material = self.source.gather_material(self.clock.now())
        except TrainingRefusedError as error:
            return self._ended("thin", str(error))
        read_s = time.monotonic() - started_s
        base = None if self.how.fresh else _base(self.registry, self.settings.retailer)
        try:
            against = self._opponent()
            trained = self._train(material, against, base)
        except (TrainingRefusedError, PackageRefusedError) as error:
            reason = error.detail if isinstance(error, PackageRefusedError) else str(error)
            return self._ended("failed", reason, base=base.model_version if base else None, read=material.read)
        trained_s = time.monotonic()
        outcome, judgement, entry = self._settle(material, trained, against)
        return self._ended(
            outcome,
            judgement.praise if judgement.objection is None else judgement.objection,
            model_version=trained.manifest.model_version,
            base=trained.manifest.base,
            counts=trained.counts,
            comparison=judgement.figures,
            seconds={"read": read_s} | trained.seconds | {"publish": time.monotonic() - trained_s},
            registered=entry,
            read=material.read,
            live=self.live,
        )

    def _ended(self, outcome: AttemptResult, reason: str, **known: object) -> Attempt:
        return Attempt(outcome, reason, self.source.name, **known)  # type: ignore[arg-type]

    def _opponent(self) -> Opponent:
        """What serves; a model that is not meant to serve needs none."""
        try:
            return find_opponent(self.settings, self.registry)
        except PackageRefusedError as error:
            if self.how.promote:
                raise
            return Opponent(self.registry.mark(self.settings.retailer), None, error.detail)

    def _train(self, material: Material, against: Opponent, base: _Base | None) -> "Trained":
        from trainer.learning import training  # noqa: PLC0415 - it imports TensorFlow

        trainer = self.settings.trainer
        return training.make(
            training.Material(
                material.parts,
                material.data,
                fraud_share=material.fraud_share,
                base=base.model_version if base else None,
                start=base.network if base else None,
                notes=material.notes,
            ),
            training.Deployment(self.settings.retailer, trainer.costs, trainer.capacity, against.package),
            plan=build_plan(trainer),
            now=self.clock.now(),
            progress=self.progress,
        )

    def _settle(
        self, material: Material, trained: "Trained", against: Opponent
    ) -> tuple[AttemptResult, Judgement, Entry | None]:
        """Registers the model, and puts it in service where the gate lets it; what serves now decides, whoever changes it meanwhile."""
        judgement = judge(self.settings, material, trained, against)
        wanted = self.how.promote and judgement.objection is None
        entry = None
        if wanted or self.how.keep:
            entry = self.registry.add(trained.package, trained.attachments)
            log.info("model_registered", model_version=entry.manifest.model_version, bytes=entry.package_bytes)
        outcome: AttemptResult = "registered" if not self.how.promote else "refused"
        if wanted and entry is not None:
            outcome, judgement = self._publish(entry, material, trained, against, judgement)
        if outcome != "pinned":
            self.source.note_learned(self.clock.now())
        return outcome, judgement, entry

    def _publish(
        self, entry: Entry, material: Material, trained: "Trained", against: Opponent, judgement: Judgement
    ) -> tuple[AttemptResult, Judgement]:
        self.live = self.source.make_ready(self.clock.now())
        for _ in range(COMPARISONS_MAX):
            try:
                promote_model(
                    self.settings, self.registry, entry, by=self.how.by, now=self.clock.now(), kind="trained",
                    reason=judgement.praise, since=against.mark,
                )  # fmt: skip
            except PinnedError as error:  # pinned while it was trained
                return "pinned", judgement._replace(objection=str(error))
            except ServingChangedError as error:
                changed = str(error)
            else:
                return "published", judgement
            try:
                against = find_opponent(self.settings, self.registry)
            except PackageRefusedError as error:
                return "refused", judgement._replace(objection=error.detail)
            log.info("compared_again", model_version=entry.manifest.model_version, reason=changed)
            judgement = judge(self.settings, material, trained, against)
            if judgement.objection is not None:
                return "refused", judgement
        return "refused", judgement._replace(objection=changed)


def _finish_promotion(settings: Settings, registry: Registry, now: datetime) -> None:
    """Promotes again what a trainer was publishing when it was killed, unless a person has promoted something since.

    Workers may serve it already, while the registry does not say so: then the next model would be compared with another one.
    """
    mark = registry.mark(settings.retailer)
    newest = next(iter(registry.list_promotions(settings.retailer, limit=1)), None)
    if newest is None or newest.confirmed or newest.kind != "trained":
        return
    entry = registry.find(settings.retailer, newest.model_version)
    if entry is None:
        return
    log.info("promotion_repeated", model_version=newest.model_version)
    try:
        promote_model(
            settings, registry, entry, by=newest.promoted_by, now=now, kind="trained", reason=newest.reason, since=mark
        )
    except (PinnedError, ServingChangedError) as error:
        log.info("promotion_not_repeated", model_version=newest.model_version, reason=str(error))


def _base(registry: Registry, retailer: str) -> _Base | None:
    """The serving model's network; None where there is none to continue from, which is said in the log."""
    entry = registry.find_serving(retailer)
    if entry is None:
        return None
    version = entry.manifest.model_version
    reason = "it has other features"
    if entry.manifest.feature_schema == get_schema_hash():
        try:
            kept = registry.read_attachment(entry, snapshot.ATTACHMENT)
            if kept is not None:
                return _Base(version, snapshot.load(kept))
            reason = "it was registered without its network"
        except (PackageRefusedError, TrainingRefusedError) as error:
            reason = str(error)
    log.warning("training_from_the_beginning", serving=version, reason=reason)
    return None
