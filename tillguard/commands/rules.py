"""Commands for the people who write rules: check a file, list the names they may use, print the shipped rules."""

from pathlib import Path

import typer

from contract.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Adds the group."""
    group = typer.Typer(no_args_is_help=True, help="Check and write rules.")
    group.command("check")(check)
    group.command("names")(names)
    group.command("default")(default)
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
    """Print the rules that ship with Tillguard, to copy and change; name your file in `scoring.rules_file`."""
    from scoring.rules.ruleset import load_default_rules

    typer.echo(load_default_rules().source, nl=False)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{file} cannot be read: {type(error).__name__}"]) from None
