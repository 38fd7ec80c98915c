"""A finished training in words and tables, for a person at a terminal. Pure: gives what rich prints."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.models import Manifest
from contract.package import THRESHOLD_NEVER
from contract.settings import Settings
from contract.topics import MODELS
from tillguard.training import Read, Result
from trainer.registry import Entry, Promotion

_ANY_WIDTH = 10_000
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
        _slices(result),
        Text(_quality(manifest)),
        decisions_table(manifest, settings.base_currency),
        Text(_whereabouts(settings, result)),
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


def models_table(models: Sequence[Entry], promotions: Sequence[Promotion]) -> Table:
    """The registry, newest first; AP is the average precision."""
    table = Table(box=None)
    longest = max((len(entry.manifest.model_version) for entry in models), default=0)
    table.add_column("model", no_wrap=True, min_width=longest)  # to be copied whole, however narrow the terminal
    for name, width in (("data until", 10), ("frauds", 0), ("AUC", 5), ("AP", 5), ("in service", 10)):
        table.add_column(name, min_width=width)
    newest = {promotion.model_version: promotion for promotion in reversed(promotions)}
    serving = next((promotion.model_version for promotion in promotions if promotion.confirmed), None)
    for entry in models:
        manifest = entry.manifest
        table.add_row(
            manifest.model_version,
            f"{manifest.data.last:%Y-%m-%d}",
            f"{manifest.data.frauds:,} of {manifest.data.transactions:,}",
            f"{manifest.metrics.get('auc_roc', 0):.3f}",
            f"{manifest.metrics.get('average_precision', 0):.3f}",
            _service(newest.get(manifest.model_version), serving),
        )
    return table


def width_for(table: Table, columns: int) -> int:
    """`columns`, or what `table` needs at least: a terminal wraps lines that are too long, rich would cut them."""
    return max(columns, Console(width=_ANY_WIDTH).measure(table).minimum)


def _service(promotion: Promotion | None, serving: str | None) -> str:
    if promotion is None:
        return "never"
    if not promotion.confirmed:
        return "not confirmed: promote it again"
    return f"since {promotion.promoted_at:%Y-%m-%d %H:%M}" if promotion.model_version == serving else "before"


def _history(manifest: Manifest, read: Read) -> str:
    data = manifest.data
    learned = (
        f"Learned from {data.transactions:,} labelled transactions, {data.frauds:,} of them frauds "
        f"({data.frauds / data.transactions:.2%}), {_minute(data.first)} to {_minute(data.last)}."
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


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
