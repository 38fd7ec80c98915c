"""Every command and option of the command line, read off the running application.

Typer carries its own copy of click without public types, so commands are `Any` here: with `help`, `params`, `hidden`, and
`commands` where they are groups.
"""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from tillguard.docs.markdown import NONE, NOTICE, render_table

OF_THE_LIBRARY = ("help", "install_completion", "show_completion")
"""Options that every Typer application has."""


@cache
def get_root_command() -> Any:
    """The whole command line; leave it as it is."""
    from tillguard.cli import app  # noqa: PLC0415 - the command line itself imports the command that writes these pages

    return typer.main.get_command(app)


def walk_commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command from `command` down with its whole name, groups before their members."""
    yield name, command
    for below, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from walk_commands(child, f"{name} {below}")


def render_commands_page() -> str:
    """Every command with its options."""
    parts = [f"{NOTICE}# Commands\n\n`tillguard COMMAND --help` says the same.\n"]
    for name, command in walk_commands(get_root_command(), "tillguard"):
        parts.append(f"\n## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = [_row(p) for p in command.params if not getattr(p, "hidden", False) and p.name not in OF_THE_LIBRARY]
        parts.append("\n" + render_table(["Option or argument", "Default", "Meaning"], rows) if rows else "")
    return "".join(parts)


def _row(parameter: Any) -> list[str]:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    shown = names if parameter.opts[0].startswith("-") else f"`{(parameter.metavar or parameter.name).upper()}`"
    text = " ".join((getattr(parameter, "help", None) or "").split())
    return [cell.replace("|", "\\|") for cell in (shown, _default(parameter), text)]


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    plain = isinstance(parameter.default, (str, int, float)) or hasattr(parameter.default, "__fspath__")
    return f"`{parameter.default}`" if plain and parameter.default is not False else NONE
