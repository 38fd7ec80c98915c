"""Registered models in words and tables, for a person at a terminal, and as JSON for machines. Pure: gives what rich prints."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.models import Manifest
from tillguard.views.training_report import format_minute, tabulate_costs, tabulate_decisions
from trainer.registry.serving_state import find_challenger, find_serving_version, pin_objection
from trainer.registry.tables import Attachment, Challenge, Entry, Pin, Promotion, Tried

REPAIR = "`tillguard models publish VERSION` puts the file back from the models topic where that holds it"
DAMAGED = "its file is damaged, see `models show`"


class Standing(NamedTuple):
    """What the registry says of one retailer, newest first."""

    promotions: Sequence[Promotion]
    challenges: Sequence[Challenge] = ()
    pin: Pin | None = None


def tabulate_models(models: Sequence[Entry], standing: Standing, damaged: Collection[str] = ()) -> Table:
    """The registry, newest first; AP is the average precision. `damaged`: versions whose file cannot be used."""
    table = Table(box=None)
    longest = max((len(entry.manifest.model_version) for entry in models), default=0)
    table.add_column("model", no_wrap=True, min_width=longest)  # to be copied whole, however narrow the terminal
    for name, width in (("data until", 10), ("frauds", 0), ("AUC", 5), ("AP", 5), ("base", 8), ("in service", 10)):
        table.add_column(name, min_width=width)
    for entry in models:
        manifest = entry.manifest
        table.add_row(
            manifest.model_version,
            f"{manifest.data.last:%Y-%m-%d}",
            f"{manifest.data.frauds:,} of {manifest.data.transactions:,}",
            f"{manifest.metrics.get('auc_roc', 0):.3f}",
            f"{manifest.metrics.get('average_precision', 0):.3f}",
            "" if manifest.base is None else manifest.base.rpartition("-")[2],
            describe_service(manifest.model_version, standing)
            + (f"; {DAMAGED}" if manifest.model_version in damaged else ""),
        )
    return table


def format_attempts(tried: Sequence[Tried]) -> list[Text]:
    """What became of trainings, newest first: a line each, which a terminal wraps, so that every version can be copied whole."""
    return [
        Text(
            f"{format_minute(each.ended_at)}  {each.outcome}  {each.model_version or 'no model'}  from {each.source}: {each.reason}"
        )
        for each in tried
    ]


def describe_service(version: str, standing: Standing) -> str:
    """What the model is to the workers now, in a few words."""
    newest = next((promotion for promotion in standing.promotions if promotion.model_version == version), None)
    challenger = find_challenger(standing.challenges)
    if newest is not None and not newest.confirmed:
        return "not confirmed: promote it again"
    if newest is not None and version == find_serving_version(standing.promotions):
        pinned = ", pinned" if standing.pin is not None else ""
        return f"since {newest.promoted_at:%Y-%m-%d %H:%M} ({newest.kind}, {newest.promoted_by}){pinned}"
    if challenger is not None and challenger.model_version == version:
        return f"canary, {challenger.share:.1%} of customers" if challenger.mode == "canary" else "shadow"
    return "never" if newest is None else "before"


def render_model_page(
    entry: Entry, attachments: Sequence[Attachment], standing: Standing, currency: str, damage: str | None = None
) -> RenderableType:
    """All that is known of one model; `damage`: why its file cannot be used."""
    manifest = entry.manifest
    parts: list[RenderableType] = [
        Text(f"{manifest.retailer}: model {manifest.model_version}", style="bold"),
        _lineage(entry, attachments, standing, damage),
    ]
    if "decided_allow" in manifest.metrics:
        parts.append(tabulate_decisions(manifest, currency))
    if "cost_per_day" in manifest.metrics:
        parts.append(tabulate_costs(manifest, currency))
    parts += [_numbers("Measured on the newest transactions, never learned from", manifest.metrics)]
    parts += [_numbers("Parameters", manifest.parameters)]
    served = [each for each in standing.promotions if each.model_version == manifest.model_version]
    if served:
        parts.append(_promotions(served))
    return Group(*parts)


def as_json(
    entry: Entry, attachments: Sequence[Attachment], standing: Standing, damage: str | None = None
) -> dict[str, Any]:
    """The same for machines: the manifest, and what the registry knows besides."""
    manifest: dict[str, Any] = msgspec.to_builtins(entry.manifest)
    version = entry.manifest.model_version
    return manifest | {
        "package": str(entry.file),
        "package_sha256": entry.package_sha256,
        "damage": damage,
        "package_bytes": entry.package_bytes,
        "attachments": {each.name: {"bytes": each.bytes, "sha256": each.sha256} for each in attachments},
        "examples": {"fraud": entry.manifest.data.frauds, "genuine": _genuine(entry.manifest)},
        "serves": version == find_serving_version(standing.promotions),
        "in_service": describe_service(version, standing),
        "pin": None if standing.pin is None else msgspec.to_builtins(standing.pin._asdict()),
        "promotions": [
            msgspec.to_builtins(each._asdict()) for each in standing.promotions if each.model_version == version
        ],
        "challenges": [
            msgspec.to_builtins(each._asdict()) for each in standing.challenges if each.model_version == version
        ],
    }


def _lineage(entry: Entry, attachments: Sequence[Attachment], standing: Standing, damage: str | None) -> Table:
    manifest = entry.manifest
    attached = ", ".join(f"{each.name} ({each.bytes / 1024:,.0f} KiB)" for each in attachments)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        ("in service", describe_service(manifest.model_version, standing)),
        ("pin", pin_objection(standing.pin) or "none: a better model is put in service by itself"),
        ("made", format_minute(manifest.created_at)),
        ("base", manifest.base or "none: trained from scratch"),
        ("data", f"{format_minute(manifest.data.first)} to {format_minute(manifest.data.last)}"),
        ("examples", f"{manifest.data.frauds:,} frauds, {_genuine(manifest):,} genuine"),
        ("features", f"{manifest.features} of schema {manifest.feature_schema}"),
        ("Keras and ONNX differ by", f"{manifest.parity_max_abs_diff:.1e} at most"),
        ("package", f"{entry.file} ({entry.package_bytes / 1024:,.0f} KiB)"),
        ("SHA-256", entry.package_sha256),
        ("next to it", attached or "nothing"),
    ]
    if damage is not None:
        rows.append(("damage", f"{damage}; {REPAIR}"))
    for name, text in rows:
        table.add_row(name, text)
    return table


def _genuine(manifest: Manifest) -> int:
    return manifest.data.transactions - manifest.data.frauds


def _numbers(title: str, values: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in sorted(values.items()):
        table.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    return table


def _promotions(served: Sequence[Promotion]) -> Table:
    table = Table("put in service", "by", "how", "why", title="Promotions, newest first", title_justify="left")
    for each in served:
        how = each.kind if each.confirmed else f"{each.kind}, not confirmed"
        table.add_row(format_minute(each.promoted_at), each.promoted_by, how, each.reason)
    return table
