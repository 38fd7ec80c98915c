"""Changes the pure files in small ways, one at a time, and lists the changes that no unit test notices. Run by `make mutants`.

mutmut makes the changes in a copy of the tree under build/mutants, and runs for each the tests that call the changed function. A change
that survives shows a missing test, a line that nobody needs, or that the change has no meaning.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from pure_files import list_pure_files

from support.source_tree import HOUSES, ROOT

PLACE = ROOT / "build" / "mutants"
LINKED = (*HOUSES, "tests", "docs", "README.md")
"""What the tests of a pure file read."""
WORDS = {0: "survived", 33: "untested"}
"""Of what mutmut notes for a change: the tests passed, or none calls the function."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "patterns",
        nargs="*",
        default=["*"],
        metavar="FILES",
        help='as in "contract/statistics/*"; without, every pure file',
    )
    parser.add_argument(
        "--tests", nargs="+", metavar="PATH", help="without, the unit tests that mirror or import the files"
    )
    arguments = parser.parse_args()
    files = [
        name for name in list_pure_files() if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.patterns)
    ]
    if not files:
        sys.exit(
            f"mutants: no pure file is called {' or '.join(arguments.patterns)}. Give paths from the root of the checkout, as in contract/topics.py."
        )
    place = PLACE / "tree"
    tests = arguments.tests or list_tests(files)
    prepare(place, files, tests)
    environment = {**os.environ, "TILLGUARD_TEST_PROFILE": "mutants"}
    with (PLACE / "mutmut.log").open("w", encoding="utf-8") as log:
        shown = None if sys.stdout.isatty() else log
        ended = subprocess.run(
            [sys.executable, "-m", "mutmut", "run", "--max-children", "1"],
            cwd=place,
            env=environment,
            stdout=shown,
            check=False,
        )
    if ended.returncode:
        sys.exit(f"mutants: mutmut ended with {ended.returncode}; what it said is above or in {PLACE / 'mutmut.log'}")
    report(place, files)


def list_tests(files: list[str]) -> list[str]:
    """The test files in the folders that mirror the files' folders, and those that import one of the files."""
    mirrors = {Path("tests/unit", file).parent for file in files}
    modules = [Path(file).with_suffix("").parts for file in files]
    imports = [
        rf"from {'.'.join(parts)} import|from {'.'.join(parts[:-1])} import .*\b{parts[-1]}\b" for parts in modules
    ]
    named = re.compile("|".join(imports))
    found = []
    for file in sorted((ROOT / "tests").glob("unit/**/test_*.py")) + sorted((ROOT / "tests/golden").glob("test_*.py")):
        test = file.relative_to(ROOT)
        if test.parent in mirrors or named.search(file.read_text(encoding="utf-8")):
            found.append(str(test))
    return found


def prepare(place: Path, files: list[str], tests: list[str]) -> None:
    """A folder that mutmut takes for a project: links to the checkout, and its settings with the files and tests of this run."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        (place / name).symlink_to(ROOT / name)
    chosen = f"[tool.mutmut]\nsource_paths = {json.dumps(HOUSES)}\nonly_mutate = {json.dumps(files)}\n"
    chosen += f"pytest_add_cli_args_test_selection = {json.dumps(tests)}\n"
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8").replace("[tool.mutmut]\n", chosen)
    (place / "pyproject.toml").write_text(settings, encoding="utf-8")


def report(place: Path, files: list[str]) -> None:
    """Prints a table, one row a file, and writes each survivor as a diff into build/mutants/survivors.txt."""
    os.chdir(place)
    from mutmut.__main__ import get_diff_for_mutant  # noqa: PLC0415 - reads its settings from the folder it is in

    total: Counter[str] = Counter()
    with (PLACE / "survivors.txt").open("w", encoding="utf-8") as listed:
        for file in files:
            meta = place / "mutants" / f"{file}.meta"
            results = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"] if meta.exists() else {}
            counted = Counter(WORDS.get(code, "killed") for code in results.values())
            total += counted
            sys.stdout.write(
                f"{file:60} {counted['killed']:5} killed {counted['survived']:5} survived {counted['untested']:5} untested\n"
            )
            for mutant in (name for name, code in results.items() if code in WORDS):
                listed.write(f"{get_diff_for_mutant(mutant, path=Path(file))}\n")
    sys.stdout.write(
        f"{sum(total.values())} mutants: {dict(total)}; those that no test notices are in {PLACE / 'survivors.txt'}\n"
    )


if __name__ == "__main__":
    main()
