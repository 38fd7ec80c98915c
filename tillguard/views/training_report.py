"""A finished training in words and tables, for a person at a terminal. Pure: gives what rich prints."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from contract.models import Manifest
from contract.package import THRESHOLD_NEVER
from contract.settings import Settings
from contract.topics import MODELS
from trainer.learning.material import Read
from trainer.learning.training_attempt import Attempt
from trainer.registry.tables import Entry

STAGES = {
    "read": "reading",
    "fit": "learning",
    "export": "export and proof",
    "measure": "measuring",
    "publish": "comparing and publishing",
}


def render(settings: Settings, made: Attempt) -> Sequence[Text | Table]:
    """The report of `tillguard train`, from an attempt that registered its model."""
    if made.registered is None or made.read is None:
        raise ValueError("an attempt without a model has no report")
    manifest = made.registered.manifest
    return [
        Text(f"{manifest.retailer}: model {manifest.model_version}", style="bold"),
        Text(_history(manifest, made.read)),
        *(Text(f"Note: {remark}.") for remark in (*made.read.remarks, *_cut_short(manifest))),
        _slices(made),
        Text(_quality(manifest)),
        tabulate_decisions(manifest, settings.base_currency),
        tabulate_costs(manifest, settings.base_currency),
        Text(_whereabouts(settings, made, made.registered)),
        *([] if made.live is None else [Text(made.live)]),
        Text(_time(made, made.read)),
    ]


def tabulate_decisions(manifest: Manifest, currency: str) -> Table:
    """What the thresholds do on the newest slice."""
    found, thresholds = manifest.metrics, manifest.thresholds
    table = Table(
        "decision",
        "from score",
        "share of transactions",
        "frauds caught from here on",
        "of these, fraud",
        title=f"Thresholds from costs in {currency}, on the newest transactions",
        title_justify="left",
    )
    table.add_row("allow", "0", f"{found['decided_allow']:.2%}", "", "")
    for name in ("flag", "hold", "block"):
        threshold = getattr(thresholds, name)
        precision = found.get(f"precision_{name}")
        table.add_row(
            name,
            "never" if threshold >= THRESHOLD_NEVER else f"{threshold:.4f}",
            f"{found[f'decided_{name}']:.2%}",
            f"{found[f'recall_{name}']:.1%}",
            "none caught" if precision is None else f"{precision:.1%}",
        )
    return table


def tabulate_costs(manifest: Manifest, currency: str) -> Table:
    """What the model is expected to cost a day, next to the model in service when it was made, and next to deciding nothing."""
    found = manifest.metrics
    table = Table(
        "a day",
        f"cost in {currency}",
        "reviews",
        "step-ups",
        "refused",
        title=f"Expected at {found['transactions_per_day']:,.0f} transactions a day like the newest ones",
        title_justify="left",
    )
    rows = {"this model": "", "the model in service when it was made": "_serving", "no decision but allow": "_nothing"}
    for name, suffix in rows.items():
        if f"cost_per_day{suffix}" in found:
            counts = (found.get(f"{what}_per_day{suffix}", 0.0) for what in ("reviews", "step_ups", "refused"))
            table.add_row(name, f"{found[f'cost_per_day{suffix}']:,.2f}", *(f"{count:,.1f}" for count in counts))
    return table


def _history(manifest: Manifest, read: Read) -> str:
    data = manifest.data
    learned = (
        f"Learned from {data.transactions:,} labelled transactions, {data.frauds:,} of them frauds "
        f"({data.frauds / data.transactions:.2%}), {format_minute(data.first)} to {format_minute(data.last)}."
    )
    said = [f"{count:,} {reason}" for reason, count in read.left_out.items() if count]
    return f"{learned} Left out: {', '.join(said)}." if said else learned


def _cut_short(manifest: Manifest) -> list[str]:
    after_s = manifest.parameters.get("cut_short_after_s")
    told = f"learning was stopped after {after_s} s and kept its best weights until then (trainer.training_s_max)"
    return [] if after_s is None else [told]


def _slices(made: Attempt) -> Table:
    table = Table("slice, in time order", "transactions", "frauds", "used for")
    uses = {
        "train": "learning",
        "validation": "early stop, calibration, thresholds",
        "test": "the figures below; never learned from",
    }
    for name, (transactions, frauds) in made.counts.items():
        table.add_row(name, f"{transactions:,}", f"{frauds:,}", uses[name])
    return table


def _quality(manifest: Manifest) -> str:
    found = manifest.metrics
    return (
        f"AUC {found['auc_roc']:.3f}, average precision {found['average_precision']:.3f} "
        f"(guessing gives {found['frauds'] / found['transactions']:.3f}), Brier score {found['brier']:.4f}, calibration "
        f"error {found['calibration_error']:.4f}. Keras and ONNX differ by {manifest.parity_max_abs_diff:.1e} at most."
    )


def _whereabouts(settings: Settings, made: Attempt, entry: Entry) -> str:
    where = f"Registered: {entry.file} ({entry.package_bytes / 1024:,.0f} KiB)."
    if made.outcome == "published":
        told = f"In service: {made.reason}. Published on {MODELS.name(settings.retailer)}; workers load it now."
    elif made.outcome == "registered":
        told = f"Not in service, as asked; the gate says: {made.reason}. {_remedy(entry, 'puts it there')}"
    else:
        told = f"Not put in service: {made.reason}. {_remedy(entry, 'does so all the same')}"
    return f"{where} {told}"


def _remedy(entry: Entry, does: str) -> str:
    return f"`tillguard models promote {entry.manifest.model_version}` {does}."


def _time(made: Attempt, read: Read) -> str:
    stages = [f"{name} {made.seconds[stage]:.1f} s" for stage, name in STAGES.items() if stage in made.seconds]
    read_s = made.seconds.get("read", 0.0)
    rate = read.transactions / read_s if read_s else 0.0
    return f"Took {made.seconds['total']:.1f} s: {', '.join(stages)} ({rate:,.0f} transactions/s read)."


def format_minute(moment: datetime) -> str:
    """The moment as a person reads it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
