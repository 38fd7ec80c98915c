"""The pure files: those whose docstring says *Pure*, and the contract, where every function is.

`python scripts/pure_files.py` prints their paths, separated by commas, and with `--others` those of all other Python files.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSES = (
    "contract",
    "runtime",
    "connectors",
    "scoring",
    "trainer",
    "federation",
    "tillguard",
    "embedded",
    "simulator",
    "demo",
    "bench",
)


def main(wanted: list[str]) -> None:
    """The command line."""
    names = list_other_files() if wanted == ["--others"] else list_pure_files()
    sys.stdout.write(",".join(names) + "\n")


def list_pure_files() -> list[str]:
    """Paths from the root of the checkout, in a fixed order."""
    return [name for name in _list_files() if _is_pure(name)]


def list_other_files() -> list[str]:
    """All the others, likewise."""
    return [name for name in _list_files() if not _is_pure(name)]


def _list_files() -> list[str]:
    return [str(file.relative_to(ROOT)) for house in HOUSES for file in sorted((ROOT / house).rglob("*.py"))]


def _is_pure(name: str) -> bool:
    summary = ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8"))) or ""
    return name.startswith("contract/") or re.search(r"\bPure\b(?!,? but)", summary) is not None


if __name__ == "__main__":
    main(sys.argv[1:])
