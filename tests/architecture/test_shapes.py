"""Whoever takes or gives arrays says of which shape."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from support.source_tree import ROOT, list_files, parse

_SIZE = r"(?:[A-Za-z_][\w.]*(?:\(\w*\))?|\d+)(?: [-+*] \w+)*"
SHAPE = re.compile(rf"\({_SIZE},(?: {_SIZE}(?:, {_SIZE})*)?\)|\bany shape\b")
"""`(n,)`, `(n, F)`, `(d + 1,)`, `(2 * F,)`, `(count_values(shapes),)`; or that a function works on each value alone."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> dict[str, ast.Module]:
    return {str(file.relative_to(ROOT)): parse(file) for file in list_files()}


def array_names(modules: dict[str, ast.Module]) -> set[str]:
    """`NDArray`, `ndarray`, and every name that a module gives to a type made of them."""
    names = {"NDArray", "ndarray"}
    while True:
        aliases = {name for module in modules.values() for name, value in aliased(module) if words(value) & names}
        if aliases <= names:
            return names
        names |= aliases


def aliased(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


@cache
def words(annotation: ast.expr | None) -> set[str]:
    """Names in a type; what a function that is handed over takes and gives is its own affair."""
    if annotation is None or any(isinstance(node, ast.Call | ast.Constant) for node in ast.walk(annotation)):
        return set()
    return set(re.findall(r"\w+", re.sub(r"\bCallable\[.*\]", "", ast.unparse(annotation))))


def public_functions(module: ast.Module) -> Iterator[tuple[str, Function]]:
    for node in module.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            members = (each for each in node.body if isinstance(each, Function) and not each.name.startswith("_"))
            yield from ((f"{node.name}.{member.name}", member) for member in members)


def annotations(function: Function) -> list[ast.expr | None]:
    args = function.args
    rest = [each for each in (args.vararg, args.kwarg) if each]
    return [each.annotation for each in [*args.posonlyargs, *args.args, *args.kwonlyargs, *rest]] + [function.returns]


def test_every_public_array_function_says_its_shapes() -> None:
    modules = trees()
    arrays = array_names(modules)
    concerned = [
        (f"{file}: {name}", ast.get_docstring(function) or "")
        for file, module in modules.items()
        for name, function in public_functions(module)
        if any(words(each) & arrays for each in annotations(function))
    ]
    assert len(concerned) > 100
    assert [name for name, said in concerned if not SHAPE.search(said)] == []
