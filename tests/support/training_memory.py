"""A first training on the same material is made once in a process.

Many tests begin with a model in service, and train it on the same sales for another retailer. Only a training with nothing in service
is remembered, whole as it was made; its manifest gets the retailer and the time of whoever asks.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from contract.package import build_package, read_package
from trainer.examples.examples import Examples
from trainer.learning import training
from trainer.learning.training import Deployment, Material, Trained
from trainer.model.plan import Plan

_make = training.make
_REMEMBERED: dict[str, Trained] = {}


def make(
    material: Material,
    deployment: Deployment,
    plan: Plan,
    now: datetime,
    progress: Callable[[int, float], None] | None = None,
) -> Trained:
    """As trainer.learning.training.make."""
    if deployment.serving is not None or material.start is not None or progress is not None:
        return _make(material, deployment, plan, now, progress)
    key = _key(material, deployment, plan)
    if key not in _REMEMBERED:
        _REMEMBERED[key] = _make(material, deployment, plan, now, progress)
    return _given(_REMEMBERED[key], deployment.retailer, now)


def _key(material: Material, deployment: Deployment, plan: Plan) -> str:
    """All that a training is made of, but for the retailer's name and the time."""
    digest = hashlib.sha256()
    for part in material.parts:
        for array in _arrays(part):
            digest.update(repr(array.dtype).encode() + repr(array.shape).encode() + array.tobytes())
    rest = (material.data, material.fraud_share, material.scaling, sorted(material.notes.items()), material.base)
    digest.update(repr((rest, deployment.costs, deployment.capacity, plan)).encode())
    return digest.hexdigest()


def _arrays(part: Examples) -> Iterable[Any]:
    return part.event_time_ms, part.features, part.fraud, part.amount, part.weights


def _given(trained: Trained, retailer: str, now: datetime) -> Trained:
    checksum = trained.manifest.model_version.rsplit("-", 1)[1]
    manifest = msgspec.structs.replace(
        trained.manifest, retailer=retailer, created_at=now, model_version=f"{retailer}-{now:%Y%m%d-%H%M%S}-{checksum}"
    )
    return replace(trained, manifest=manifest, package=build_package(manifest, read_package(trained.package).onnx))
