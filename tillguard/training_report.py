"""A finished training in words and tables, for a person at a terminal. Pure: gives what rich prints."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.models import Manifest
from contract.package import THRESHOLD_NEVER
from contract.settings import Settings
from contract.topics import MODELS
from tillguard import live_history
from tillguard.training import Read, Result

STAGES = {
    "read": "reading",
    "fit": "learning",
    "export": "export and proof",
    "measure": "measuring",
    "publish": "publishing",
}


def render(settings: Settings, result: Result) -> RenderableType:
    """The report of `tillguard train`."""
    manifest = result.manifest
    return Group(
        Text(f"{manifest.retailer}: model {manifest.model_version}", style="bold"),
        Text(_history(manifest, result.read)),
        *(Text(f"Note: {note}.") for note in (*result.read.unusable, *result.read.doubts)),
        _slices(result),
        Text(_quality(manifest)),
        decisions_table(manifest, settings.base_currency),
        costs_table(manifest, settings.base_currency),
        Text(_whereabouts(settings, result)),
        *([] if result.live is None else [Text(live_history.sentence(result.live))]),
        Text(_time(result)),
    )


def decisions_table(manifest: Manifest, currency: str) -> Table:
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


def costs_table(manifest: Manifest, currency: str) -> Table:
    """What the model is expected to cost a day, beside the model in service when it was made, and beside deciding nothing."""
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
        f"({data.frauds / data.transactions:.2%}), {minute(data.first)} to {minute(data.last)}."
    )
    left_out = {
        "younger than the label delay": read.unripe,
        "without a label (they filled windows)": read.unlabelled,
        "repeated": read.repeated,
        **{f"unusable ({reason})": count for reason, count in read.refused.most_common()},
    }
    said = [f"{count:,} {reason}" for reason, count in left_out.items() if count]
    return f"{learned} Left out: {', '.join(said)}." if said else learned


def _slices(result: Result) -> Table:
    table = Table("slice, in time order", "transactions", "frauds", "used for")
    uses = {
        "train": "learning",
        "validation": "early stop, calibration, thresholds",
        "test": "the figures below; never learned from",
    }
    for name, (transactions, frauds) in result.counts.items():
        table.add_row(name, f"{transactions:,}", f"{frauds:,}", uses[name])
    return table


def _quality(manifest: Manifest) -> str:
    found = manifest.metrics
    return (
        f"AUC {found['auc_roc']:.3f}, average precision {found['average_precision']:.3f} "
        f"(guessing gives {found['frauds'] / found['transactions']:.3f}), Brier score {found['brier']:.4f}, calibration "
        f"error {found['calibration_error']:.4f}. Keras and ONNX differ by {manifest.parity_max_abs_diff:.1e} at most."
    )


def _whereabouts(settings: Settings, result: Result) -> str:
    where = f"Registered: {result.file} ({result.package_bytes / 1024:,.0f} KiB)."
    if result.promoted:
        return f"{where} In service: published on {MODELS.name(settings.retailer)}; workers load it now."
    version = result.manifest.model_version
    if result.objection is not None:
        return f"{where} Not put in service: {result.objection}. `tillguard models promote {version}` does so all the same."
    return f"{where} Not in service; `tillguard models promote {version}` puts it there."


def _time(result: Result) -> str:
    stages = [f"{STAGES[name]} {seconds:.1f} s" for name, seconds in result.seconds.items() if name in STAGES]
    rate = result.read.transactions / result.read.seconds if result.read.seconds else 0.0
    return f"Took {result.seconds['total']:.1f} s: {', '.join(stages)} ({rate:,.0f} transactions/s read)."


def minute(moment: datetime) -> str:
    """The moment as a person reads it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
