"""The pure files: those whose docstring says *Pure*, and the contract, where every function is.

`python scripts/pure_files.py` prints their paths, separated by commas, and with `--others` those of all other Python files.
"""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[1] / "tests")
)  # which folders there are, and which file says so, is read in one place

from support.source_tree import ROOT, list_files, says_pure


def main(wanted: list[str]) -> None:
    """The command line."""
    names = list_other_files() if wanted == ["--others"] else list_pure_files()
    sys.stdout.write(",".join(names) + "\n")


def list_pure_files() -> list[str]:
    """Paths from the root of the checkout, in a fixed order."""
    return [_name(file) for file in list_files() if _is_pure(file)]


def list_other_files() -> list[str]:
    """All the others, likewise."""
    return [_name(file) for file in list_files() if not _is_pure(file)]


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _is_pure(file: Path) -> bool:
    return _name(file).startswith("contract/") or says_pure(file)


if __name__ == "__main__":
    main(sys.argv[1:])
