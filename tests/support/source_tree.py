"""The Python files of the repository as tests of its architecture read them; each is parsed once in a process."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("contract", "runtime", "connectors", "scoring", "trainer", "federation", "backoffice", "tillguard")
ELSEWHERE = ("embedded", "simulator", "demo", "bench")
"""Never in a production image or in the wheel."""
HOUSES = (*PRODUCT, *ELSEWHERE)


def list_files(*houses: str) -> list[Path]:
    """Every Python file of these folders and those below, in a fixed order; of HOUSES where none is named."""
    return [file for house in houses or HOUSES for file in sorted((ROOT / house).rglob("*.py"))]


@cache
def parse(file: Path) -> ast.Module:
    """The syntax tree; whoever takes it leaves it as it is."""
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def walk(file: Path) -> tuple[ast.AST, ...]:
    """Every node of the tree, in the order of `ast.walk`."""
    return tuple(ast.walk(parse(file)))


@cache
def says_pure(file: Path) -> bool:
    """Whether the docstring promises it for the whole file; `Pure but` names an exception."""
    return re.search(r"\bPure\b(?!,? but)", ast.get_docstring(parse(file)) or "") is not None
