"""What rules would have done, as tables for the terminal."""

from rich.table import Table

from contract.money import get_exponent
from scoring.decision.dry_run import ByOutcome, DryRun


def build_tables(found: DryRun, currency: str) -> list[Table]:
    """Each rule, and each change of decisions where there are any: transactions by what became known, and the money of frauds."""
    by_rule = _begin(
        f"{found.rules_version} on {found.seen.all.transactions:,} transactions", ("rule", "says"), currency, "changed"
    )
    for rule in found.rules:
        if rule.missing:
            by_rule.add_row(rule.rule, f"not tried: asks for {', '.join(rule.missing)}")
        else:
            changed = f"{rule.changed.all.transactions:,}"
            by_rule.add_row(rule.rule, rule.decision, *_tell(rule.fired, currency), changed)
    if not found.changes:
        return [by_rule]
    changes = _begin("decisions that would have been others", ("was", "would be"), currency)
    for (before, after), tally in sorted(found.changes.items()):
        changes.add_row(before, after, *_tell(tally, currency))
    return [by_rule, changes]


def describe_limits(found: DryRun) -> list[str]:
    """What the tables do not cover, in sentences."""
    said = [] if found.changes else ["No decision would have been another."]
    if found.overruled:
        said.append(
            f"Transactions that keep their decision, since a list, the breaker or a snooze had the last word: {found.overruled:,}."
        )
    if found.unjudged:
        said.append(f"Transactions whose model or rules are not known here any more: {found.unjudged:,}.")
    if found.unusable:
        said.append(f"Records that could not be read: {found.unusable:,}.")
    if not found.complete:
        said.append("It was cancelled: the numbers are of what was tried until then.")
    return said


def _begin(title: str, names: tuple[str, ...], currency: str, *more: str) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in ("all", "fraud", f"{currency} of fraud", "genuine", "unknown", *more):
        table.add_column(name, justify="right")
    return table


def _tell(tally: ByOutcome, currency: str) -> list[str]:
    money = tally.fraud.amount_minor / 10 ** get_exponent(currency)
    counts = [f"{each.transactions:,}" for each in (tally.all, tally.fraud, tally.genuine, tally.unknown)]
    return [*counts[:2], f"{money:,.0f}", *counts[2:]]
