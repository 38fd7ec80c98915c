"""A retailer's own learning in a federation: its examples store and network train, its registry and gate decide what serves.

What travels are the arrays of the network on the common first layer (trainer.federated.joint_form). A global model serves only after this
retailer's own labels made it a model like any other: compared, exported, calibrated, with thresholds, registered, promoted.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
import structlog
from numpy.typing import NDArray

from contract.clock import Clock, SystemClock
from contract.errors import PackageRefusedError, PinnedError, ServingChangedError, TrainingRefusedError
from contract.federation.messages import PrivacyTerms, Shapes, TensorShape
from contract.package import Package
from contract.settings import Settings, TrainerSettings
from federation.learning.gate import Rival, Verdict, choose, choose_model, compute_confidence
from federation.learning.learner import Adopted, Arrays, Choice, Task, Trained, TrainingUnableError
from federation.learning.metrics import compute_probabilities, measure
from federation.numeric import calibration
from trainer.decision import gate
from trainer.examples import pool
from trainer.examples.examples import Examples
from trainer.examples.store import ExampleStore
from trainer.federated import joint_form, joint_statistics
from trainer.learning.judging import NOTHING_SERVES, Opponent, compare_models, find_opponent, measure_skill
from trainer.learning.material import Material, gather_from_store
from trainer.learning.publication import promote_model
from trainer.model import snapshot
from trainer.model.calibrate import Platt
from trainer.model.plan import HIDDEN, Plan, Privacy
from trainer.registry.registry import Entry, Registry, ServingRevision
from trainer.registry.serving_state import pin_objection

if TYPE_CHECKING:
    from trainer.federated.local_round import Round
    from trainer.learning.training import Trained as Made

log = structlog.get_logger()

OWN_EPOCHS = 3
OWN_RATE = 3e-4
"""Of personalisation: the common network is corrected, not made again."""
OWN_BATCH = 256
OWN_CALIBRATION_FRAUDS_MIN = 30
"""Frauds in the validation slice; from fewer, two parameters are surer from all retailers together."""
SHARE_MIN = 1e-6
BY = "federation"
CHOICE, VERSION = "federation_choice", "federation_version"


def get_shapes() -> Shapes:
    """Of the model that retailers of this feature schema learn together; their names say schema and form."""
    return tuple(
        TensorShape(name=tensor.name, shape=tensor.shape, role=tensor.role)
        for tensor in joint_form.list_tensors(HIDDEN)
    )


def build_initial_model(seed: int) -> dict[str, np.ndarray]:
    """The model of version 0, by name.

    The shapes are those of `get_shapes()`: for each layer weights (inputs, units) and biases (units,), then the form.
    """
    return {tensor.name: array for tensor, array in zip(get_shapes(), joint_form.initialise(HIDDEN, seed), strict=True)}


def format_lineage(federation: str, model_version: int) -> str:
    """The `base` of a model that was made of a global one."""
    return f"{federation}-global-{model_version}"


class _Candidate(NamedTuple):
    choice: Choice
    arrays: Arrays
    reason: str


class RetailerLearner:
    """See federation.learning.learner.Learner. Loads TensorFlow when it is first needed; opens store and registry for each call.

    Besides TrainingUnableError every method raises TransientError where store, registry or Kafka does not answer; the call is
    then made again.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()

    def check(self) -> None:
        """Raises TrainingUnableError where there are too few examples to take part with."""
        self._material()

    def train(self, task: Task) -> Trained:
        _refuse_shapes(task.base)
        train = self._material().parts.train
        terms = task.privacy
        if terms.level == "sample" and len(train) < terms.examples_min:
            raise TrainingUnableError(
                "data", f"{len(train):,} examples to learn from, {terms.examples_min:,} are needed"
            )
        from trainer.federated import local_round  # noqa: PLC0415 - they import TensorFlow

        seed = local_round.derive_seed(task.seed, f"{self._settings.retailer}/{task.round}")
        with _unable("training"):
            arrays = local_round.train(task.base, train, _round(task, self._settings.trainer), seed)
        log.info("round_trained", round=task.round, attempt=task.attempt, examples=len(train))
        return Trained(arrays, len(train), int(train.fraud.sum()))

    def summarise(self, task: Task) -> Trained:
        _refuse_shapes(task.base)
        material = self._material()
        # Scores of examples that the network was trained on here would look better than they are.
        parts = material.parts
        part = parts.train if task.purpose == "statistics" else parts.validation
        # With privacy of single examples all count the same, so that what one of them moves is bounded.
        part = replace(part, weight=None) if task.privacy.level == "sample" else _as_they_come(part, material)
        if task.purpose == "statistics":
            vector = joint_statistics.summarise(joint_form.list_kinds(), np.asarray(part.features), part.weights)
        else:
            from trainer.federated import local_round  # noqa: PLC0415 - it imports TensorFlow

            with _unable("model"):
                logits = local_round.compute_logits(task.base, np.asarray(part.features))
            if not np.isfinite(logits).all():
                raise TrainingUnableError("model", "the model's scores are no finite numbers")
            vector = calibration.compute_histogram(logits, part.fraud, part.weights).astype(np.float32)
        log.info("summary_made", purpose=task.purpose, round=task.round, attempt=task.attempt, examples=len(part))
        return Trained([vector], len(part), int(part.fraud.sum()))

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        """Each model has the shapes of `get_shapes()`: weights (inputs, units), biases (units,), the form."""
        features, labels = self.read_newest()
        return [_judged(arrays, features, labels) for arrays in models]

    def read_newest(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Features and labels of the newest examples whose outcome a trusted source told; training here never sees them.

        Features (n, F), NaN where one is missing; labels (n,), True for fraud.
        """
        gathered = self._material()
        rows = np.flatnonzero(gathered.verified != pool.UNVERIFIED)
        return np.asarray(gathered.parts.test.features[rows], dtype=np.float32), gathered.verified[rows] == 1

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        """`arrays` have the shapes of `get_shapes()`: weights (inputs, units), biases (units,), the form."""
        if model_version == 0:
            return Adopted("local", {})  # nobody has taught it anything
        _refuse_shapes(arrays)
        trainer = self._settings.trainer
        registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
        try:
            return self._finished(registry, model_version) or self._decide(registry, model_version, arrays, trainings)
        except (PinnedError, ServingChangedError) as error:
            return self._kept(model_version, str(error))
        finally:
            registry.close()

    def _finished(self, registry: Registry, model_version: int) -> Adopted | None:
        """What an earlier call with this version decided, where it was cut off between registering and reporting."""
        retailer = self._settings.retailer
        base = format_lineage(self._settings.federation.name, model_version)
        entry = next((each for each in registry.list_models(retailer) if each.manifest.base == base), None)
        if entry is None:
            return None
        served = {each.model_version for each in registry.list_promotions(retailer) if each.confirmed}
        if entry.manifest.model_version not in served:
            mark = registry.mark(retailer)
            if any(
                each.promoted_at > entry.manifest.created_at
                for each in registry.list_promotions(retailer)
                if each.kind != "trained"
            ):
                return self._kept(model_version, "a person has put a model in service since it was made")
            self._promote(registry, entry, "promotion taken up again", mark)
        return Adopted(_choice(entry), _figures(entry.manifest.metrics))

    def _decide(self, registry: Registry, model_version: int, arrays: Arrays, trainings: int) -> Adopted:
        pinned = pin_objection(registry.find_pin(self._settings.retailer))
        if pinned is not None:
            return self._kept(model_version, pinned)
        material = self._material()
        try:
            against = find_opponent(self._settings, registry)
        except PackageRefusedError as error:
            return self._kept(model_version, error.detail)
        with _unable("training"):
            best = _best(arrays, material, _common_weights(registry, self._settings.retailer, arrays), self._settings)
            made = self._make(best, material, against.package, model_version)
        verdict, comparison = _verdict(self._settings, material, made, against, best, trainings=trainings)
        if verdict.choice == "local":
            return self._kept(model_version, verdict.reason, comparison)
        entry = registry.add(made.package, made.attachments)
        self._promote(registry, entry, verdict.reason, against.mark)
        return Adopted(verdict.choice, _figures(made.manifest.metrics))

    def _make(self, best: _Candidate, material: Material, champion: Package | None, model_version: int) -> "Made":
        """A model like any other: calibrated and with thresholds on this retailer's data, exported and proved equal."""
        from trainer.federated import local_round  # noqa: PLC0415 - they import TensorFlow
        from trainer.learning import training  # noqa: PLC0415 - they import TensorFlow

        federation, trainer = self._settings.federation, self._settings.trainer
        scaling = _pooled_scaling(best, material)
        notes = material.notes | {
            "calibration": "own" if scaling is None else "federated",
            "imbalance": "prior_offset", "fraud_weight": 1.0, "learning_rate": OWN_RATE, "batch": OWN_BATCH,
            "federation": federation.name,
            VERSION: model_version, CHOICE: best.choice,
        }  # fmt: skip
        return training.finish(
            local_round.build_fitted(best.arrays),
            training.Material(
                material.parts,
                material.data,
                fraud_share=material.fraud_share,
                base=format_lineage(federation.name, model_version),
                notes=notes,
                scaling=scaling,
            ),
            training.Deployment(self._settings.retailer, trainer.costs, trainer.capacity, champion),
            plan=Plan(seed=trainer.seed, epochs_max=OWN_EPOCHS),
            now=self._now(),
        )

    def _promote(self, registry: Registry, entry: Entry, reason: str, since: ServingRevision) -> None:
        now = self._now()
        promote_model(self._settings, registry, entry, by=BY, now=now, kind="trained", reason=reason, since=since)
        log.info(
            "global_model_taken", model_version=entry.manifest.model_version, base=entry.manifest.base, reason=reason
        )

    def _kept(self, model_version: int, reason: str, comparison: gate.Comparison | None = None) -> Adopted:
        log.info("local_model_kept", global_version=model_version, reason=reason)
        return Adopted("local", {} if comparison is None else {"ap": comparison.old})

    def _material(self) -> Material:
        store = ExampleStore(self._settings.trainer.examples_url.get_secret_value(), self._settings.retailer)
        try:
            with _unable("data"):
                return gather_from_store(self._settings, store, self._now())
        finally:
            store.close()

    def _now(self) -> datetime:
        return self._clock.now()


def _best(arrays: Arrays, material: Material, own: Arrays | None, settings: Settings) -> _Candidate:
    """Of global, blended and fine-tuned, by the validation slice, which none of them learned from here.

    So the newest slice, on which the best meets the serving model, has chosen nothing before.
    """
    from trainer.federated import local_round  # noqa: PLC0415 - it imports TensorFlow

    parts = material.parts
    how = local_round.Round(OWN_EPOCHS, OWN_BATCH, OWN_RATE, prior_offset=True)
    seed = settings.trainer.seed
    mine = own if own is not None else local_round.train(arrays, parts.train, how, seed)
    candidates: dict[Choice, Arrays] = {
        "global": arrays,
        "blended": local_round.average_models(arrays, mine),
        "fine_tuned": local_round.train(arrays, parts.train, how, seed, head_only=True),
    }
    verdict = choose_model(
        {name: local_round.compute_logits(each, parts.validation.features) for name, each in candidates.items()},
        parts.validation.fraud,
        frauds_min=0,
        confidence=settings.federation.participant.gate_confidence,
        seed=seed,
        weight=parts.validation.weight,
    )
    if verdict.choice not in candidates:
        raise TrainingUnableError("model", verdict.reason)
    log.info("candidate_chosen", choice=verdict.choice, reason=verdict.reason)
    return _Candidate(verdict.choice, candidates[verdict.choice], verdict.reason)


def _pooled_scaling(best: _Candidate, material: Material) -> Platt | None:
    """The federation's calibration, where it is of just this network and the retailer has too few frauds to fit its own.

    Moved by how this retailer's prior odds differ from those of all together.
    """
    slope, offset, log_odds = map(float, joint_form.split_arrays(best.arrays).scaling)
    parts = material.parts
    if best.choice != "global" or slope <= 0 or parts.validation.fraud.sum() >= OWN_CALIBRATION_FRAUDS_MIN:
        return None
    usual = _as_they_come(parts.train, material)
    share = float(np.clip(usual.weights[usual.fraud].sum() / usual.weights.sum(), SHARE_MIN, 1 - SHARE_MIN))
    return Platt(slope, offset + math.log(share / (1 - share)) - log_odds)


def _as_they_come(part: Examples, material: Material) -> Examples:
    """Weighted to the share of frauds among transactions, where more of them were chosen to learn from."""
    share = material.fraud_share
    return part if share is None or not part.fraud.any() else part.weigh_frauds(share)


def _verdict(
    settings: Settings,
    material: Material,
    made: "Made",
    against: Opponent,
    best: _Candidate,
    *,
    trainings: int,
) -> tuple[Verdict, gate.Comparison | None]:
    """Local or `best`, on the newest labels of trusted sources; the trainer's gate still says what costs too much."""
    trainer = settings.trainer
    if against.package is None:
        shown = measure_skill(material, made)
        lacking = shown if isinstance(shown, str) else gate.find_lack_of_skill(shown, trainer.gate_confidence)
        why = "there is no local model" if against.why_none == NOTHING_SERVES else against.why_none
        return (Verdict("local", lacking) if lacking else Verdict(best.choice, f"{why}; {best.reason}")), None
    found = compare_models(settings, material, made, against.package)
    if isinstance(found, str):
        return Verdict("local", found), None
    objection = gate.find_shortage(found, trainer.gate_frauds_min) or gate.find_higher_cost(
        found, trainer.gate_confidence
    )
    if objection is not None:
        return Verdict("local", objection), found
    rival = Rival(found.old, found.surely_worse)
    own = settings.federation.participant
    confidence = compute_confidence(own.gate_confidence, trainings=trainings, proving=own.proving_trainings)
    return choose(best.choice, found.new, {"local": rival}, confidence=confidence), found


def _common_weights(registry: Registry, retailer: str, common: Arrays) -> Arrays | None:
    """The serving network's arrays, where it stands on the first layer of `common`; blending needs them in one form."""
    entry = registry.find_serving(retailer)
    if entry is None:
        return None
    with suppress(PackageRefusedError, TrainingRefusedError):
        kept = registry.read_attachment(entry, snapshot.ATTACHMENT)
        found = None if kept is None else snapshot.load(kept)
        parted = joint_form.split_arrays(common)
        form = joint_form.build_constants(statistics=parted.statistics)
        if found is not None and joint_form.hash_form(found.constants) == joint_form.hash_form(form):
            return parted._replace(weights=list(found.weights)).join()
    return None


def _round(task: Task, trainer: TrainerSettings) -> "Round":
    from trainer.federated.local_round import Round  # noqa: PLC0415 - it imports TensorFlow

    asked, private = task.training, task.privacy.level == "sample"
    return Round(
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        learning_rate=asked.learning_rate,
        prior_offset=asked.prior_offset and not private,
        proximal_mu=asked.proximal_mu,
        privacy=_privacy(task.privacy, trainer) if private else None,
        examples_accounted=task.privacy.examples_min,
    )


def _privacy(terms: PrivacyTerms, trainer: TrainerSettings) -> Privacy:
    return Privacy(trainer.privacy.clipping_norm, terms.noise_multiplier, terms.delta)


def _judged(arrays: Arrays, features: NDArray[np.float32], labels: NDArray[np.bool_]) -> dict[str, float]:
    """Nothing where the model, which somebody else made, gives no scores."""
    from trainer.federated import local_round  # noqa: PLC0415 - it imports TensorFlow

    try:
        _refuse_shapes(arrays)
        logits = local_round.compute_logits(arrays, features)
    except (TrainingUnableError, TrainingRefusedError) as error:
        log.warning("model_not_judged", reason=str(error))
        return {}
    return measure(compute_probabilities(logits), labels) if np.isfinite(logits).all() else {}


def _refuse_shapes(arrays: Arrays) -> None:
    if [tuple(array.shape) for array in arrays] != [tensor.shape for tensor in get_shapes()]:
        raise TrainingUnableError(
            "model", "the model is of another feature schema, form or network than this version's"
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise TrainingUnableError("model", "the model holds values that are no finite numbers")


@contextmanager
def _unable(reason: str) -> Iterator[None]:
    try:
        yield
    except TrainingRefusedError as error:
        raise TrainingUnableError(reason, str(error)) from None  # type: ignore[arg-type]


def _choice(entry: Entry) -> Choice:
    told = entry.manifest.parameters.get(CHOICE)
    return next((choice for choice in get_args(Choice) if choice == told), "global")


def _figures(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics[own] for name, own in (("ap", "average_precision"), ("auc", "auc_roc")) if own in metrics}
