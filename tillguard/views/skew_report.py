"""The skew check in words and tables, and as JSON. Pure: gives what rich prints."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tillguard.history.skew import Checked
from trainer.drift.skew import Cause, FeatureSkew

TOP = 12
"""Features that are shown; --json has them all."""
WHY: Mapping[Cause, str] = {
    "content": "their own fields read otherwise: the row, the base currency or its rates changed since",
    "windows_shorter": "serving knew fewer earlier transactions: its windows begin later, or lost something. `tillguard history load` fills "
    "them from a file",
    "windows_longer": "serving knew more earlier transactions than the feature log: of a loaded file (give it with --history), or of "
    "times that the log does not hold any more",
    "windows": "as many earlier transactions, but other ones: applied in another order, or under other tokens",
    "frauds_later": "serving knew fewer frauds: the workers were told later than the labels say. `tillguard trainer run` must run next to them",
    "frauds_earlier": "serving knew more frauds than the outcomes topic says by that time",
    "frauds": "the same frauds, counted in other tiles: the workers were told at another moment than the labels say",
}


def describe_skew(checked: Checked) -> str:
    """The result in one sentence."""
    skew = checked.skew
    if not skew.compared:
        return "Nothing to compare: the feature log holds no transaction of this feature schema that is still on the transactions topic."
    same = "every float is the same" if not skew.different else f"{skew.different:,} differ"
    return f"{skew.compared:,} transactions as served against a replay of them: {same}."


def render(checked: Checked) -> RenderableType:
    """The page of `tillguard drift --replay`."""
    skew = checked.skew
    parts: list[RenderableType] = [Text(describe_skew(checked), style="bold")]
    parts.append(Text(f"The replay took {checked.context:,} other transactions before and between them."))
    if checked.gone:
        parts.append(Text(f"{checked.gone:,} more are not on the transactions topic any more and were not compared."))
    if skew.risk_unseeded:
        parts.append(
            Text(
                "Risk is not seeded: serving knew of no fraud at all. `tillguard train` and `tillguard trainer run` tell the workers."
            )
        )
    if skew.different:
        parts += [
            _features(skew.features),
            *(Text(f"{count:,}: {WHY[cause]}.") for cause, count in skew.causes.items()),
        ]
    return Group(*parts)


def as_json(checked: Checked) -> dict[str, Any]:
    """The same for machines; a difference of which one side is missing is null."""
    skew = checked.skew
    return {
        "compared": skew.compared,
        "different": skew.different,
        "context": checked.context,
        "gone": checked.gone,
        "risk_unseeded": skew.risk_unseeded,
        "causes": skew.causes,
        "features": [
            {**found._asdict(), "largest": None if found.largest == float("inf") else found.largest}
            for found in skew.features
        ],
    }


def _features(features: list[FeatureSkew]) -> Table:
    table = Table(
        "feature",
        "transactions",
        "largest difference",
        "served",
        "replayed",
        "of transaction",
        title="Features that differ",
    )
    table.title_justify = "left"
    for found in features[:TOP]:
        table.add_row(
            found.name,
            f"{found.transactions:,}",
            f"{found.largest:.6g}",
            _shown(found.served),
            _shown(found.replayed),
            found.transaction_id,
        )
    if len(features) > TOP:
        table.caption = f"and {len(features) - TOP} more (--json)"
    return table


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"
