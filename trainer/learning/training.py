"""The use case: from examples to a checked package, in memory. Knows no files, no Kafka, no database."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from contract.clock import from_epoch_ms
from contract.errors import TrainingRefusedError
from contract.features import get_feature_names, get_schema_hash
from contract.models import DataRange, Manifest
from contract.package import Package, build_package, hash_onnx
from contract.sections.models import CapacitySettings
from contract.settings import CostSettings
from contract.statistics.ranking import auc
from trainer.decision import costing, thresholds
from trainer.drift import profile
from trainer.examples.examples import FRAUDS_MIN, Examples, Split, get_data_range, split
from trainer.model import export, fit, network, preprocessing, snapshot
from trainer.model.calibrate import Platt, fit_platt
from trainer.model.evaluate import measure
from trainer.model.plan import HIDDEN, Plan
from trainer.model.privacy import compute_epsilon
from trainer.model.run_onnx import compute_served_scores
from trainer.model.snapshot import Snapshot
from trainer.model.tensorflow import keras

NO_CAPACITY = CapacitySettings()
Parameter = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that passed its checks, ready for the registry."""

    manifest: Manifest
    package: bytes
    counts: dict[str, tuple[int, int]]
    """Transactions and frauds by slice (train, validation, test)."""
    seconds: dict[str, float]
    """Wall time by stage."""
    attachments: dict[str, bytes]
    """For the registry, next to the package: what a later training starts from, and what drift is measured against."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a model is made of."""

    parts: Split
    data: DataRange
    fraud_share: float | None = None
    """Share of frauds among transactions, where the slices hold more than that; None: as in the slices."""
    base: str | None = None
    start: Snapshot | None = None
    """The network of model `base`, to learn on from."""
    notes: Mapping[str, Parameter] = field(default_factory=dict)
    """How the slices were chosen; becomes part of the manifest's parameters."""
    scaling: Platt | None = None
    """A calibration from elsewhere; None: fitted on the validation slice."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the model is to serve: decides its thresholds and what it is expected to cost, not its weights."""

    retailer: str
    costs: CostSettings
    capacity: CapacitySettings = NO_CAPACITY
    """Turned into shares by the traffic of the newest examples."""
    serving: Package | None = None
    """The model in service now: the manifest says what the new one costs a day next to it, and next to deciding nothing."""


def train(
    examples: Examples,
    deployment: Deployment,
    plan: Plan,
    now: datetime,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Fits, calibrates, chooses thresholds, measures on the newest slice, exports and proves the export.

    Raises TrainingRefusedError where the history is too thin or the result does not pass its checks.
    """
    return make(Material(split(examples), get_data_range(examples)), deployment, plan, now, progress)


def make(
    material: Material,
    deployment: Deployment,
    plan: Plan,
    now: datetime,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """As `train`, from slices that are made already, also on from an earlier network."""
    fitted = fit.fit(material.parts.train, material.parts.validation, plan, progress, material.start)
    return finish(fitted, material, deployment, plan, now)


def finish(fitted: fit.Fitted, material: Material, deployment: Deployment, plan: Plan, now: datetime) -> Trained:
    """As `make`, from a network that is trained already, wherever that was."""
    parts, share = material.parts, material.fraud_share
    started = time.monotonic()
    model = _calibrated(fitted, parts.validation, share, material.scaling)
    onnx = export.to_onnx(model)
    difference = export.measure_parity(model, onnx, parts.test.features)
    exported = time.monotonic()
    # Costs and shares of decisions count transactions, so here frauds may be no more than their share.
    validation, test = _as_they_come(parts.validation, "validation", share), _as_they_come(parts.test, "test", share)
    traffic = costing.estimate_traffic_per_day(validation, test)
    limits = thresholds.derive_limits(deployment.capacity, traffic)
    retailer, costs = deployment.retailer, deployment.costs
    chosen = thresholds.choose(
        compute_served_scores(onnx, validation.features), validation.fraud, validation.amount, costs, limits
    )
    # Measured on what is shipped: the ONNX file, not the Keras model.
    scores = compute_served_scores(onnx, test.features)
    measures = measure(scores, test.fraud, chosen)
    measures |= costing.measure_costs(
        scores, test, chosen, costs, transactions_per_day=traffic, serving=deployment.serving
    )
    manifest = Manifest(
        model_version=f"{retailer}-{now:%Y%m%d-%H%M%S}-{hash_onnx(onnx)[:8]}",
        retailer=retailer,
        created_at=now,
        feature_schema=get_schema_hash(),
        features=len(get_feature_names()),
        onnx_sha256=hash_onnx(onnx),
        thresholds=chosen,
        ordinary=preprocessing.compute_ordinary(parts.train.features, parts.train.fraud),
        data=material.data,
        metrics=measures,
        parity_max_abs_diff=difference,
        parameters=_parameters(plan, fitted, parts, warm=material.start is not None) | dict(material.notes),
        base=material.base,
        risk=preprocessing.has_risk(fitted.constants),
    )
    kept = fitted.take_snapshot()
    # Shares of transactions as they come: the slice that was learned from holds more frauds.
    usual = parts.train if share is None else parts.train.weigh_frauds(share)
    described = profile.build(parts.train.features, scores, chosen, weight=usual.weights)
    return Trained(
        manifest=manifest,
        package=build_package(manifest, onnx),
        counts={name: (len(part), int(part.fraud.sum())) for name, part in parts._asdict().items()},
        attachments={
            snapshot.ATTACHMENT: snapshot.dump(kept.constants, kept.weights),
            profile.ATTACHMENT: profile.encode(described),
        },
        seconds={"fit": fitted.seconds, "export": exported - started, "measure": time.monotonic() - exported},
    )


def _calibrated(fitted: fit.Fitted, validation: Examples, share: float | None, given: Platt | None) -> keras.Model:
    logits = fitted.logits(validation.features)
    if not np.isfinite(logits).all() or auc(logits, validation.fraud) <= 0.5:
        raise TrainingRefusedError("the trained model does not tell frauds from genuine transactions; see the labels")
    weighted = validation if share is None else validation.weigh_frauds(share)
    return fit.build_calibrated(fitted, given or fit_platt(logits, weighted.fraud, weighted.weight))


def _as_they_come(part: Examples, name: str, share: float | None) -> Examples:
    return part if share is None else part.thin(share, FRAUDS_MIN[name])


def _parameters(plan: Plan, fitted: fit.Fitted, parts: Split, *, warm: bool) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {
        "seed": plan.seed,
        "epochs_max": plan.epochs_max,
        "epochs": fitted.epochs,
        "hidden": "-".join(str(units) for units in HIDDEN),
        "steps": len(fitted.constants.step_columns),
        "dropout": network.DROPOUT,
        "learning_rate": fit.choose_learning_rate(warm=warm),
        "weight_decay": fit.WEIGHT_DECAY,
        "batch": fit.choose_batch_size(len(parts.train)),
        "imbalance": plan.imbalance,
        "fraud_weight": fit.choose_class_weight(plan, parts.train.fraud),
        "test_from": from_epoch_ms(int(parts.test.event_time_ms[0])).isoformat(),
    }
    if fitted.cut_short:
        parameters["cut_short_after_s"] = plan.seconds_max
    if plan.imbalance == "focal":
        parameters["focal_gamma"] = plan.focal_gamma
    return parameters | _private(plan, fitted)


def _private(plan: Plan, fitted: fit.Fitted) -> dict[str, Parameter]:
    """What a privacy ledger needs to know of the training; see trainer.privacy for what it covers."""
    if plan.privacy is None:
        return {}
    sigma, delta = plan.privacy.noise_multiplier, plan.privacy.delta
    return {
        "dp_clipping_norm": plan.privacy.clipping_norm,
        "dp_noise_multiplier": sigma,
        "dp_sampling_rate": fitted.sampling_rate,
        "dp_steps": fitted.steps,
        "dp_delta": delta,
        "dp_epsilon": compute_epsilon(sigma, fitted.sampling_rate, fitted.steps, delta),
    }
