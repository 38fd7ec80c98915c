"""One attempt to learn from the examples store: choose, train, compare, and publish only what is better.

Nothing is put in service by half: what is learned lies whole in the registry before the first byte goes to Kafka, and the labels
count as learned from only after that. So an attempt that is killed anywhere is simply made again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog

from contract.clock import Clock, SystemClock, epoch_ms
from contract.errors import PackageRefusedError, PinnedError, TrainingRefusedError, TransientError
from contract.features import schema_hash
from contract.models import DataRange
from contract.money import exponent
from contract.package import Package, read_package
from contract.settings import Settings, TrainerSettings
from contract.windows import DAY_MS
from tillguard.publication import promote_model
from tillguard.training import serving_package
from trainer import costing, gate, labels, pool, snapshot
from trainer.example_store import ExampleStore
from trainer.plan import Plan, Privacy
from trainer.registry import Registry, Tried
from trainer.run_onnx import served
from trainer.standing import pin_objection

if TYPE_CHECKING:
    from trainer.training import Trained

log = structlog.get_logger()

Outcome = Literal["published", "refused", "pinned", "thin", "failed"]
"""`thin`: the examples are too few yet; `failed`: the network or its export did not pass its checks."""
Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt."""

    outcome: Outcome
    reason: str
    """In a sentence, with numbers."""
    model_version: str | None = None
    """The model that was trained, registered or not."""
    base: str | None = None
    """The model it was learned on from."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Examples and frauds by slice."""
    comparison: dict[str, float] = field(default_factory=dict)
    """The gate's numbers; empty where nothing served that could be compared."""
    seconds: dict[str, float] = field(default_factory=dict)


def learn(
    settings: Settings,
    *,
    by: str = "trainer",
    fresh: bool = False,
    keep: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Attempt:
    """Makes one attempt.

    Args:
        settings: the retailer's.
        by: who is noted as having promoted the model.
        fresh: from the beginning, not on from the serving model.
        keep: registers a refused model as well, so that a person may still promote it.
        clock: the machine's where None.
        progress: told each epoch's number and average precision.

    Raises TransientError where store, registry or Kafka does not answer, TillguardError for a full disk. Then nothing new
    serves, and the labels still count as new.
    """
    clock = clock or SystemClock()
    trainer = settings.trainer
    # Opened first: a registry that cannot be used is better known before minutes of work.
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    try:
        store = ExampleStore(trainer.examples_url.get_secret_value(), settings.retailer)
        try:
            attempt = _learn(settings, registry, store, clock, by=by, fresh=fresh, keep=keep, progress=progress)
            _note(settings, registry, attempt, clock.now())
            return attempt
        finally:
            store.close()
    finally:
        registry.close()


def _note(settings: Settings, registry: Registry, attempt: Attempt, now: datetime) -> None:
    """Keeps why, for `tillguard trainer attempts`; what is learned does not depend on it."""
    seconds = {f"{stage}_s": value for stage, value in attempt.seconds.items()}
    tried = Tried(
        now, attempt.outcome, attempt.reason, attempt.model_version, attempt.base, attempt.comparison | seconds
    )
    try:
        registry.note_attempt(settings.retailer, tried)
    except TransientError as error:
        log.warning("attempt_not_noted", outcome=attempt.outcome, reason=str(error))


class Material(NamedTuple):
    """What an attempt is made on."""

    gathered: pool.Gathered
    chosen: pool.Chosen
    first_ms: int
    """event_time of the oldest example that was chosen from."""
    distrusted: frozenset[str]


def gather(settings: Settings, store: ExampleStore, now: datetime) -> Material:
    """Chooses from the store what a training takes; raises TrainingRefusedError where that is too little."""
    trainer = settings.trainer
    watermark_ms = store.watermark_ms()
    if watermark_ms is None:
        raise TrainingRefusedError("there is no example yet")
    trusted = frozenset(trainer.trusted_sources)
    labelled = (known for page in store.known(labelled=True) for known in page)
    compared = labels.overlaps(labelled, trusted, epoch_ms(now))
    distrusted = labels.distrusted(compared, trainer.disagreement_max)
    for source in sorted(distrusted):
        log.warning("label_source_not_learned_from", source=source, **compared[source]._asdict())
    terms = labels.Terms(
        as_of_ms=epoch_ms(now),
        ripe_before_ms=watermark_ms - int(trainer.label_delay_days * DAY_MS),
        unlabelled_weight=trainer.unlabelled_weight,
        trusted_sources=trusted,
        trust_unlabelled=trainer.trust_unlabelled,
        distrusted=distrusted,
    )
    found = pool.outline(store.known(), terms)
    chosen = pool.choose(found, newest=trainer.newest_examples, replayed=trainer.replay_examples, seed=trainer.seed)
    gathered = pool.gather(store, found, chosen, 10.0 ** exponent(settings.base_currency))
    return Material(gathered, chosen, int(found.event_time_ms[chosen.train[0]]), distrusted)


def plan_of(trainer: TrainerSettings) -> Plan:
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


def _learn(
    settings: Settings,
    registry: Registry,
    store: ExampleStore,
    clock: Clock,
    *,
    by: str,
    fresh: bool,
    keep: bool,
    progress: Progress | None,
) -> Attempt:
    started = time.monotonic()
    pinned = pin_objection(registry.pinned(settings.retailer))
    if pinned is not None:
        return Attempt("pinned", pinned)
    _finish_promotion(settings, registry, clock.now())
    label_number = store.label_number()
    try:
        material = gather(settings, store, clock.now())
    except TrainingRefusedError as error:
        return Attempt("thin", str(error))
    read_s = time.monotonic() - started
    champion = serving_package(registry, settings.retailer)
    base = None if fresh else _base(registry, settings.retailer)
    try:
        trained = _train(settings, material, champion, base, now=clock.now(), progress=progress)
    except TrainingRefusedError as error:
        return Attempt("failed", str(error), base=base[0] if base else None)
    comparison, objection = judge(settings, material, trained, champion)
    attempt = Attempt(
        "published" if objection is None else "refused",
        objection or _praise(comparison),
        model_version=trained.manifest.model_version,
        base=trained.manifest.base,
        counts=trained.counts,
        comparison=comparison.values() if comparison else {},
        seconds={"read": read_s} | trained.seconds,
    )
    if objection is None or keep:
        entry = registry.add(trained.package, trained.attachments)
    if objection is None:
        try:
            promote_model(settings, registry, entry, by=by, now=clock.now(), kind="trained", reason=attempt.reason)
        except PinnedError as error:  # pinned while it was trained
            return Attempt("pinned", str(error), model_version=attempt.model_version, base=attempt.base)
    store.training_ended(label_number, clock.now())
    return attempt


def _finish_promotion(settings: Settings, registry: Registry, now: datetime) -> None:
    """Promotes again what a trainer was publishing when it was killed.

    Workers may serve it already, while the registry does not say so: then the next model would be compared with another one.
    """
    newest = next(iter(registry.promotions(settings.retailer, limit=1)), None)
    if newest is None or newest.confirmed or newest.kind != "trained":
        return
    entry = registry.find(settings.retailer, newest.model_version)
    if entry is not None:
        log.info("promotion_repeated", model_version=newest.model_version)
        promote_model(settings, registry, entry, by=newest.promoted_by, now=now, kind="trained", reason=newest.reason)


def _base(registry: Registry, retailer: str) -> tuple[str, snapshot.Snapshot] | None:
    """The serving model's network; None where there is none to go on from, which is said in the log."""
    entry = registry.serving(retailer)
    if entry is None:
        return None
    version = entry.manifest.model_version
    reason = "it has other features"
    if entry.manifest.feature_schema == schema_hash():
        try:
            kept = registry.attachment(entry, snapshot.ATTACHMENT)
            if kept is not None:
                return version, snapshot.load(kept)
            reason = "it was registered without its network"
        except (PackageRefusedError, TrainingRefusedError) as error:
            reason = str(error)
    log.warning("training_from_the_beginning", serving=version, reason=reason)
    return None


def _train(
    settings: Settings,
    material: Material,
    champion: Package | None,
    base: tuple[str, snapshot.Snapshot] | None,
    *,
    now: datetime,
    progress: Progress | None,
) -> "Trained":
    from trainer import training  # noqa: PLC0415 - it imports TensorFlow

    return training.make(
        training.Material(
            material.gathered.parts,
            data_of(material),
            fraud_share=material.chosen.fraud_share,
            base=base[0] if base else None,
            start=base[1] if base else None,
            notes=notes_of(material),
        ),
        training.Deployment(settings.retailer, settings.trainer.costs, settings.trainer.capacity, champion),
        plan=plan_of(settings.trainer),
        now=now,
        progress=progress,
    )


def data_of(material: Material) -> DataRange:
    """What all slices together hold."""
    from trainer import training  # noqa: PLC0415 - it imports TensorFlow

    ranges = [training.data_range(part) for part in material.gathered.parts]
    return DataRange(
        first=min(each.first for each in ranges),
        last=max(each.last for each in ranges),
        transactions=sum(each.transactions for each in ranges),
        frauds=sum(each.frauds for each in ranges),
    )


def notes_of(material: Material) -> dict[str, str | int | float | bool]:
    """How the slices were chosen, for the manifest."""
    notes: dict[str, str | int | float | bool] = {
        "replayed": material.chosen.replayed,
        "fraud_share": material.chosen.fraud_share,
    }
    if material.distrusted:
        notes["distrusted_sources"] = ", ".join(sorted(material.distrusted))
    return notes


def judge(
    settings: Settings, material: Material, trained: "Trained", champion: Package | None
) -> tuple[gate.Comparison | None, str | None]:
    """The gate's numbers, and why the model must not serve; (None, None) where nothing serves that could be compared with."""
    if champion is None:
        return None, None
    found = compared(settings, material, trained, champion)
    if isinstance(found, str):
        return None, found
    trainer = settings.trainer
    return found, gate.refusal(found, confidence=trainer.gate_confidence, frauds_min=trainer.gate_frauds_min)


def compared(settings: Settings, material: Material, trained: "Trained", champion: Package) -> gate.Comparison | str:
    """The new model and the serving one on the newest labels of trusted sources; or why these tell nothing, in a sentence."""
    trainer, test, verified = settings.trainer, material.gathered.parts.test, material.gathered.verified
    fraud = verified == 1
    rows = verified != pool.UNVERIFIED
    until_ms = epoch_ms(champion.manifest.data.last)
    newer = gate.unseen(test.event_time_ms[rows], fraud[rows], until_ms, trainer.gate_frauds_min)
    compared = rows.nonzero()[0][newer]
    features, fraud, amount = test.features[compared], fraud[compared], test.amount[compared]
    if not fraud.any() or fraud.all():
        return (
            f"none of the newest {len(fraud):,} transactions that trusted sources know is "
            f"{'genuine' if fraud.any() else 'fraud'}, so nothing can be compared (trainer.trusted_sources)"
        )

    def side(package: Package) -> gate.Side:
        score = served(package.onnx, features)
        decided = costing.decisions(score, package.manifest.thresholds)
        return gate.Side(score, costing.cost_each(decided, fraud, amount, trainer.costs))

    new, old = side(read_package(trained.package)), side(champion)
    return gate.compare(new, old, fraud, fraud_share=material.chosen.fraud_share, seed=trainer.seed)


def _praise(found: gate.Comparison | None) -> str:
    if found is None:
        return "no model serves that it could be compared with"
    return (
        f"average precision {found.new:.3f} against {found.old:.3f} on the newest {found.transactions:,} trusted "
        f"transactions, better in {found.surely_better:.0%} of resamplings"
    )
