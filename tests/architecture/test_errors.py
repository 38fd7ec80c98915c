"""One tree of errors: everything that an operator could meet is in it, and contract/errors.py draws it whole."""

import ast
import builtins
import re
from typing import NamedTuple

from contract import errors
from support.source_tree import PRODUCT, ROOT, list_files, walk

BUILT_IN = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
OUTSIDE = {
    "backoffice.http.problems.ProblemError": "an answer of HTTP, on its way from a route to the application",
    "connectors.ports.Interrupted": "somebody asked to stop: nothing went wrong",
    "connectors.files.csv_rows.OpenQuoteError": "its only way back through the standard library's CSV reader",
    "trainer.registry.registry._TakenError": "rolls back a transaction, and is suppressed around it",
    "federation.transports.memory.CrashError": "stands for kill -9, after which nothing of the process may run",
}
"""Exceptions that do not derive from TillguardError, and why."""


class Kind(NamedTuple):
    place: str
    name: str
    parent: str


def kinds_in(*houses: str) -> list[Kind]:
    """The classes that derive from an exception."""
    classes = [
        Kind(".".join(file.relative_to(ROOT).with_suffix("").parts), node.name, ast.unparse(base).rpartition(".")[2])
        for file in list_files(*houses)
        for node in walk(file)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    ]
    found, known = [], BUILT_IN
    while more := [each for each in classes if each.parent in known and each not in found]:
        found += more
        known = known | {each.name for each in more}
    return found


def drawn() -> list[Kind]:
    """The tree in the docstring; a class without a place is the module's own, or stands where its parent does."""
    path, tree = [Kind("contract.errors", "TillguardError", "Exception")], []
    pattern = r"^((?:│   |    )*)[├└]── (\w+) +(?:([a-z_.]+): )?"
    for indent, name, place in re.findall(pattern, errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        path = [*path[:depth], Kind(place or path[depth - 1].place, name, path[depth - 1].name)]
        tree.append(path[-1])
    return tree


def test_every_exception_derives_from_the_one_error_or_has_a_reason_not_to() -> None:
    outside = {f"{each.place}.{each.name}" for each in kinds_in() if each.parent in BUILT_IN}
    assert outside - {"contract.errors.TillguardError"} == set(OUTSIDE)


def test_the_tree_is_drawn_as_it_is() -> None:
    there = [each for each in kinds_in(*PRODUCT) if f"{each.place}.{each.name}" not in OUTSIDE]
    assert len(drawn()) > 20
    assert sorted(drawn()) == sorted(each for each in there if each.name != "TillguardError")


def test_what_stands_outside_the_tree_is_named_below_it() -> None:
    named = re.findall(r"^- ([\w.]+): ", errors.__doc__ or "", re.MULTILINE)
    assert sorted(named) == sorted(OUTSIDE)
