"""The use case: from examples to a checked package, in memory. Knows no files, no Kafka, no database."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from contract.clock import from_epoch_ms
from contract.errors import TrainingRefusedError
from contract.features import names, schema_hash
from contract.model_settings import CapacitySettings
from contract.models import DataRange, Manifest
from contract.package import Package, build_package, onnx_sha256
from contract.settings import CostSettings
from trainer import constants, costing, export, fit, network, thresholds
from trainer.calibrate import fit_platt
from trainer.drift import profile
from trainer.evaluate import auc_roc, measure
from trainer.examples import Examples, Split, split
from trainer.plan import Plan
from trainer.run_onnx import served

NO_CAPACITY = CapacitySettings()


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
    """For the registry, beside the package."""


def train(
    examples: Examples,
    *,
    retailer: str,
    costs: CostSettings,
    plan: Plan,
    now: datetime,
    capacity: CapacitySettings = NO_CAPACITY,
    serving: Package | None = None,
    transactions_per_day: float | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """Fits, calibrates, chooses thresholds, measures on the newest slice, exports and proves the export.

    `capacity` is turned into shares by `transactions_per_day`, measured on the newest examples where None; the manifest says
    what the model is expected to cost a day beside `serving`, the model in service now, and beside deciding nothing.
    Raises TrainingRefusedError where the history is too thin or the result does not pass its checks.
    """
    parts = split(examples)
    fitted = fit.fit(parts.train, parts.validation, plan, progress)
    started = time.monotonic()
    logits = fitted.logits(parts.validation.features)
    if not np.isfinite(logits).all() or auc_roc(logits, parts.validation.fraud) <= 0.5:
        raise TrainingRefusedError("the trained model does not tell frauds from genuine transactions; see the labels")
    platt = fit_platt(logits, parts.validation.fraud)
    model = fit.calibrated(fitted, platt)
    onnx = export.to_onnx(model)
    difference = export.parity(model, onnx, parts.test.features)
    exported = time.monotonic()
    traffic = transactions_per_day or costing.traffic_per_day(parts.validation.event_time_ms, parts.test.event_time_ms)
    validation = parts.validation
    chosen = thresholds.choose(
        served(onnx, validation.features),
        validation.fraud,
        validation.amount,
        costs,
        thresholds.limits_of(capacity, traffic),
    )
    # Measured on what is shipped: the ONNX file, not the Keras model.
    scores = served(onnx, parts.test.features)
    measures = measure(scores, parts.test.fraud, chosen)
    measures |= costing.measures(scores, parts.test, chosen, costs, transactions_per_day=traffic, serving=serving)
    manifest = Manifest(
        model_version=f"{retailer}-{now:%Y%m%d-%H%M%S}-{onnx_sha256(onnx)[:8]}",
        retailer=retailer,
        created_at=now,
        feature_schema=schema_hash(),
        features=len(names()),
        onnx_sha256=onnx_sha256(onnx),
        thresholds=chosen,
        ordinary=constants.ordinary(parts.train.features, parts.train.fraud),
        data=_range(examples),
        metrics=measures,
        parity_max_abs_diff=difference,
        parameters=_parameters(plan, fitted, parts),
    )
    described = profile.build(parts.train.features, scores, chosen)
    return Trained(
        manifest=manifest,
        package=build_package(manifest, onnx),
        counts={name: (len(part), int(part.fraud.sum())) for name, part in parts._asdict().items()},
        attachments={profile.ATTACHMENT: profile.encode(described)},
        seconds={"fit": fitted.seconds, "export": exported - started, "measure": time.monotonic() - exported},
    )


def _range(examples: Examples) -> DataRange:
    return DataRange(
        first=from_epoch_ms(int(examples.event_time_ms[0])),
        last=from_epoch_ms(int(examples.event_time_ms[-1])),
        transactions=len(examples),
        frauds=int(examples.fraud.sum()),
    )


def _parameters(plan: Plan, fitted: fit.Fitted, parts: Split) -> dict[str, str | int | float | bool]:
    return {
        "seed": plan.seed,
        "epochs_max": plan.epochs_max,
        "epochs": fitted.epochs,
        "hidden": "-".join(str(units) for units in network.HIDDEN),
        "dropout": network.DROPOUT,
        "learning_rate": fit.LEARNING_RATE,
        "weight_decay": fit.WEIGHT_DECAY,
        "batch": fit.batch_size(len(parts.train)),
        "fraud_weight": fit.fraud_weight(parts.train.fraud),
        "test_from": from_epoch_ms(int(parts.test.event_time_ms[0])).isoformat(),
    }
