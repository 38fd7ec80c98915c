"""Public functions and methods begin with a verb: a call then says what happens, and a noun is left for what comes of it."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from support.source_tree import HOUSES, ROOT, list_files, parse
from tillguard.docs.command_rows import get_root_command, walk_commands

VERBS = frozenset(
    """
    abandon ablate accept acknowledge acquire adapt add admit adopt advance announce answer append apply
    approve ask assemble assign attack attribute authenticate average back begin break build calibrate cap
    capture catch challenge check choose clean clear clip close collect combine commit compare compile complete
    compress compute configure confirm connect convert count create cut decide decode decompress delete
    deliver derive describe disable divide downgrade draft drain draw drop dump enable encode end enrol ensure erase escape
    estimate evaluate expect expire explain export extend fetch fill find finish fit flatten flush follow
    forget forgive format gather generate get give group guard guess hand handle hash hold identify ignore initialise
    inspect install join judge keep kill learn leave list load log look make map mark mask match measure
    merge name normalise note observe offer open order oversample pack parse pause pin plan play poll
    populate predict prepare print probe produce promote propose prune publish punish push put quantise quieten
    quote raise rank read reap rebuild reconcile record recover redeliver refuse register reject release
    remember remove render renew replay report require reset resolve restart restore retry revoke rewind
    roll rollback rotate round run sample save say score seal select sell send serve set settle shorten show
    sign silence simulate skip snooze sort spawn spell split start stop store strip submit subtract sum summarise tabulate
    take tell thin time train translate unflatten unpack unpin unseal update upgrade use verify view wait walk
    warm warn watch weigh withdraw work write
    """.split()  # noqa: SIM905 - a list of words reads as words
)
PREDICATES = frozenset({"is", "are", "has", "can", "may", "must", "needs"})
CONVERSIONS = frozenset({"as", "from", "to"})
FORMULAS = frozenset({"sigmoid", "auc", "average_precision"})
"""Functions of mathematics, which formulas call by these nouns."""
CLOCKS = frozenset({"now", "now_ms", "monotonic_s"})
"""A clock is asked as the standard library's are: `datetime.now`, `time.monotonic`."""
VALUES = frozenset({"property", "cached_property", "setter", "field_validator", "model_validator", "field_serializer"})
"""Decorators of what is read as a value, or called by pydantic alone."""


def public_functions(file: Path) -> Iterator[str]:
    for node in parse(file).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name


def public_methods(file: Path) -> Iterator[tuple[str, str]]:
    """Class and method; without those that stand in for another object, by whose names they go."""
    for of in parse(file).body:
        if isinstance(of, ast.ClassDef) and not of.name.startswith("_"):
            methods = [each for each in of.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            if "__getattr__" not in {each.name for each in methods}:
                yield from ((of.name, each.name) for each in methods if each.name[0] != "_" and not is_value(each))


def is_value(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    called = (each.func if isinstance(each, ast.Call) else each for each in method.decorator_list)
    return any(ast.unparse(each).split(".")[-1] in VALUES for each in called)


def is_of_library(file: Path, of: str, method: str) -> bool:
    """Whether a base class that is not ours has the method: then the library gave it its name and calls it by that."""
    module = import_module(".".join(file.with_suffix("").parts))
    bases = getattr(module, of).__mro__[1:]
    return any(method in vars(base) for base in bases if base.__module__.split(".")[0] not in HOUSES)


def commands() -> set[str]:
    """A command's function has the command's name."""
    return {name.split()[-1].replace("-", "_") for name, _ in walk_commands(get_root_command(), "tillguard")} | {"root"}


def is_of_commands(file: Path) -> bool:
    return file.parts[:2] == ("tillguard", "commands") or file.name in {"cli.py", "commands.py"}


def test_public_functions_begin_with_a_verb() -> None:
    named = [
        (file.relative_to(ROOT), name) for file in list_files(*HOUSES, "scripts") for name in public_functions(file)
    ]
    assert len(named) > 500
    allowed = VERBS | PREDICATES | CONVERSIONS
    called = commands()
    guilty = [
        f"{file}: {name}"
        for file, name in named
        if name.split("_")[0] not in allowed
        and name not in FORMULAS
        and not (is_of_commands(file) and name.strip("_") in called)
        and name != "main"
    ]
    assert guilty == []


def test_public_methods_begin_with_a_verb() -> None:
    named = [(file.relative_to(ROOT), *each) for file in list_files() for each in public_methods(file)]
    assert len(named) > 500
    allowed = VERBS | PREDICATES | CONVERSIONS
    guilty = [
        f"{file}: {of}.{method}"
        for file, of, method in named
        if method.split("_")[0] not in allowed
        and method not in FORMULAS | CLOCKS
        and not is_of_library(file, of, method)
    ]
    assert guilty == []
