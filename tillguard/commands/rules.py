"""Commands for the people who write rules: check a file, publish it, put it in service, list names and versions."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.table import Table

    from tillguard.operations.rules_desk import RulesListing

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
)
REASON = typer.Option(
    ..., "--reason", metavar="TEXT", help="What is new, or why; at most 256 characters, shown by `versions`."
)
BY = typer.Option("", "--by", help="Who asks for it; your login name where absent.")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(no_args_is_help=True, help="Check and write rules, and put them in service.")
    for command in (check, names, default, publish, serve, versions):
        group.command(command.__name__)(command)
    group.command("dry-run")(dry_run)
    app.add_typer(group, name="rules")


def check(
    file: Path | None = typer.Argument(None, metavar="FILE", help="A YAML file; the shipped rules where absent."),
) -> None:
    """Say everything that is wrong with a rules file, or what each rule does when nothing is. Changes nothing."""
    from rich.console import Console
    from rich.table import Table

    from scoring.rules.ruleset import load_default_rules, load_rules

    rules = load_default_rules() if file is None else load_rules(_text(file), where=str(file))
    table = Table("rule", "decision", "when", title=f"{len(rules.rules)} rules, version {rules.version}")
    for rule in rules.rules:
        table.add_row(rule.id, rule.decision, " ".join(rule.when.split()))
    Console(soft_wrap=False).print(table)


def names(
    word: str = typer.Argument("", metavar="WORD", help="Only names and descriptions that hold this word."),
) -> None:
    """List what a rule's `when` may speak of. Names marked `may be missing` are compared as (name ?? 0)."""
    from contract.features import get_schema
    from scoring.rules.ruleset import build_vocabulary

    texts = {feature.name: f"{feature.text} ({feature.unit})" for feature in get_schema() if not feature.buckets}
    texts |= {"hour": "hour of the day with its fraction, UTC", "score": "the model's score, 0 to 1"}
    for name, spec in build_vocabulary().items():
        text = texts[name] if spec.kind == "number" else "a text of the transaction"
        if word in name or word in text:
            typer.echo(f"{name:40} {'may be missing' if spec.nullable else 'always there':15} {text}")


def default() -> None:
    """Print the rules that ship with Tillguard, to copy, change and `publish`."""
    from scoring.rules.ruleset import load_default_rules

    typer.echo(load_default_rules().source, nl=False)


def dry_run(
    file: Path = typer.Argument(metavar="FILE", help="A YAML file."),
    *,
    days: float = typer.Option(30.0, "--days", min=0.01, max=3650.0, help="How far back the feature log is read."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Try rules on what was scored lately: what each would have caught, by what became known since, in money. Changes nothing.

    Example: `tillguard rules dry-run rules.yaml --retailer meadow --days 7`
    """
    from rich.console import Console

    from scoring.rules.ruleset import load_rules
    from tillguard.config import load
    from tillguard.operations.rules_trial import run_rules_dry
    from tillguard.views.rules_trial_view import build_tables, describe_limits

    settings = load(retailer, config)
    console = Console()
    with console.status("reading the feature log") as status:
        found = run_rules_dry(
            settings,
            load_rules(_text(file), where=str(file)),
            days=days,
            progress=lambda count: status.update(f"{count:,} transactions"),
        )
    for table in build_tables(found, settings.base_currency):
        console.print(table)
    for sentence in describe_limits(found):
        typer.echo(sentence)


def publish(
    file: Path = typer.Argument(metavar="FILE", help="A YAML file."),
    *,
    reason: str = REASON,
    by: str = BY,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Check a rules file and put it on the rules topic as a version; `serve` then puts it in service.

    Example: `tillguard rules publish rules.yaml --retailer meadow --reason "gift cards from 100 EUR"`
    """
    import getpass

    from tillguard.config import load
    from tillguard.operations.rules_desk import publish_rules

    settings = load(retailer, config)
    made = publish_rules(settings, _text(file), where=str(file), by=by or getpass.getuser(), note=reason)
    typer.echo(f"{made.rules_version} is published; in service it goes by")
    typer.echo(f"  tillguard rules serve {made.rules_version} --retailer {settings.retailer} --reason TEXT")


def serve(
    version: str = typer.Argument(metavar="VERSION", help="A version of `tillguard rules versions`."),
    *,
    reason: str = REASON,
    by: str = BY,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Put a published version in service, a new one or an old one. Workers take it between two batches, without a restart.

    From then on the topic decides which rules serve, and `scoring.rules_file` is not looked at any more.
    """
    import getpass

    from tillguard.config import load
    from tillguard.operations.rules_desk import serve_rules

    serving = serve_rules(load(retailer, config), version, by=by or getpass.getuser(), reason=reason)
    before = "the rules of the settings" if serving.previous is None else serving.previous
    typer.echo(f"{serving.rules_version} serves instead of {before}")


def versions(retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Show which versions were published and which one serves: by whom, when and why."""
    from rich.text import Text

    from tillguard.config import load
    from tillguard.operations.rules_desk import list_rules
    from tillguard.views.printing import show

    listing = list_rules(load(retailer, config))
    serving = listing.serving
    if serving is None:
        show(
            Text(
                "no version is in service: workers judge by scoring.rules_file, or by the rules that ship with Tillguard"
            )
        )
    else:
        when = f"{serving.served_at:%Y-%m-%d %H:%M} UTC"
        show(Text(f"{serving.rules_version} serves since {when}, by {serving.served_by}: {serving.reason}"))
    if listing.versions:
        show(_tabulate(listing))


def _tabulate(listing: "RulesListing") -> "Table":
    from rich.table import Table

    table = Table(box=None)
    for name in ("", "version", "published", "by", "what is new"):
        table.add_column(name, overflow="fold")
    serves = None if listing.serving is None else listing.serving.rules_version
    for one in listing.versions:
        mark = "serves" if one.rules_version == serves else ""
        table.add_row(mark, one.rules_version, f"{one.made_at:%Y-%m-%d %H:%M} UTC", one.made_by, one.note)
    return table


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{file} cannot be read: {type(error).__name__}"]) from None
