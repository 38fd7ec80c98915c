"""The gate at work: a new model against the one that serves, or, where none does, against chance. See trainer.gate."""

from typing import TYPE_CHECKING, NamedTuple

import structlog

from contract.clock import to_epoch_ms
from contract.errors import PackageRefusedError
from contract.features import get_schema_widths
from contract.package import Package, read_package
from contract.settings import Settings
from trainer.decision import costing, gate
from trainer.examples import pool
from trainer.learning.material import Material
from trainer.learning.package_repair import read_whole_package
from trainer.model.run_onnx import compute_served_scores
from trainer.registry.registry import Registry, ServingRevision

if TYPE_CHECKING:
    from trainer.learning.training import Trained

log = structlog.get_logger()

NOTHING_SERVES = "no model serves that it could be compared with"
OTHER_FEATURES = "the model that serves, {}, was made for other features and cannot be compared with"


class Opponent(NamedTuple):
    """What a new model has to beat."""

    mark: ServingRevision
    """Where promotions stood when this was read: a promotion is refused where they have moved."""
    package: Package | None
    """The model in service; None where none serves that could score today's features."""
    why_none: str = NOTHING_SERVES


def find_opponent(settings: Settings, registry: Registry) -> Opponent:
    """The model in service, checked, its file restored where it was damaged.

    Raises PackageRefusedError where it serves and cannot be read: then nothing can be compared with it. TransientError.
    """
    mark = registry.mark(settings.retailer)  # first: what is promoted after this is noticed
    entry = registry.find_serving(settings.retailer)
    if entry is None:
        return Opponent(mark, None)
    if entry.manifest.feature_schema not in get_schema_widths():
        return Opponent(mark, None, OTHER_FEATURES.format(entry.manifest.model_version))
    try:
        return Opponent(mark, read_package(read_whole_package(settings, registry, entry)))
    except PackageRefusedError as error:
        version = entry.manifest.model_version
        raise PackageRefusedError(
            error.reason,
            f"the model that serves, {version}, cannot be compared with, so no other is put in service: {error.detail}",
        ) from None


class Judgement(NamedTuple):
    """What the gate says of a new model."""

    objection: str | None
    """Why it must not serve by itself, in a sentence with numbers; None where it may."""
    praise: str
    """Why it may."""
    figures: dict[str, float]


def judge(settings: Settings, material: Material, trained: "Trained", against: Opponent) -> Judgement:
    """The gate of every command that publishes a model by itself."""
    trainer = settings.trainer
    if against.package is None:
        shown = measure_skill(material, trained)
        if isinstance(shown, str):
            return Judgement(shown, "", {})
        praise = (
            f"{against.why_none}; AUC {shown.auc:.3f} on the newest {shown.transactions:,} trusted transactions, which chance "
            f"alone reaches in {shown.chance:.1%} of cases"
        )
        return Judgement(gate.find_lack_of_skill(shown, trainer.gate_confidence), praise, shown.to_values())
    if _is_same(trained, against.package):
        version = against.package.manifest.model_version
        return Judgement(f"it is the very model that serves, {version}: same examples, same settings", "", {})
    found = compare_models(settings, material, trained, against.package)
    if isinstance(found, str):
        return Judgement(found, "", {})
    objection = gate.find_refusal(found, confidence=trainer.gate_confidence, frauds_min=trainer.gate_frauds_min)
    praise = (
        f"average precision {found.new:.3f} against {found.old:.3f} on the newest {found.transactions:,} trusted "
        f"transactions, better in {found.surely_better:.0%} of resamplings"
    )
    return Judgement(objection, praise, found.to_values())


def measure_skill(material: Material, trained: "Trained") -> gate.Skill | str:
    """How a first model does on the newest labels of trusted sources; or why these tell nothing, in a sentence."""
    rows = (material.verified != pool.UNVERIFIED).nonzero()[0]
    fraud = material.verified[rows] == 1
    if not fraud.any() or fraud.all():
        return _one_kind(len(fraud), any_fraud=bool(fraud.any()))
    return gate.measure_skill(
        compute_served_scores(read_package(trained.package).onnx, material.parts.test.features[rows]), fraud
    )


def compare_models(
    settings: Settings, material: Material, trained: "Trained", champion: Package
) -> gate.Comparison | str:
    """The new model and the serving one on the newest labels of trusted sources; or why these tell nothing, in a sentence."""
    trainer, test, verified = settings.trainer, material.parts.test, material.verified
    fraud = verified == 1
    rows = verified != pool.UNVERIFIED
    until_ms = to_epoch_ms(champion.manifest.data.last)
    newer = gate.select_unseen(test.event_time_ms[rows], fraud[rows], until_ms, trainer.gate_frauds_min)
    kept = rows.nonzero()[0][newer]
    features, fraud, amount = test.features[kept], fraud[kept], test.amount[kept]
    if not fraud.any() or fraud.all():
        return _one_kind(len(fraud), any_fraud=bool(fraud.any()))

    def side(package: Package) -> gate.Side:
        score = compute_served_scores(package.onnx, features)
        decided = costing.decide(score, package.manifest.thresholds)
        return gate.Side(score, costing.compute_decision_costs(decided, fraud, amount, trainer.costs))

    share = float(fraud.mean()) if material.fraud_share is None else material.fraud_share
    return gate.compare(
        side(read_package(trained.package)), side(champion), fraud, fraud_share=share, seed=trainer.seed
    )


def _is_same(trained: "Trained", champion: Package) -> bool:
    new, old = trained.manifest, champion.manifest
    return (new.onnx_sha256, new.thresholds) == (old.onnx_sha256, old.thresholds)


def _one_kind(transactions: int, *, any_fraud: bool) -> str:
    return (
        f"none of the newest {transactions:,} transactions that trusted sources know is "
        f"{'genuine' if any_fraud else 'fraud'}, so nothing can be compared (trainer.trusted_sources)"
    )
