"""Commands that read what others wrote end with a sentence, whatever that was."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from connectors import unexpected

P = ParamSpec("P")
T = TypeVar("T")
_OWN = (typer.Exit, typer.Abort, typer.exceptions.TyperException)
"""How the command line ends a command, its refusals of arguments among them."""


def guard(command: Callable[P, T]) -> Callable[P, T]:
    """`command` with every error that is none of ours turned into one of ours; the command line's own pass through."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with unexpected.guard(f"`{command.__name__.rstrip('_').replace('_', '-')}`", besides=_OWN):
            return command(*args, **kwargs)

    return run
