"""The shape of the house: who may import whom, what stands where, and what must never be written into a file."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.source_tree import HOUSES, ROOT, list_files

FOLDERS = {*HOUSES, "deploy", "docs", "tests", "requirements", "scripts", "dashboard"}
REQUIRED = FOLDERS - {"dashboard"}
TEST_FOLDERS = {"unit", "conformance", "simulation", "integration", "e2e", "golden", "architecture"}

# Assembled here, so that this file does not find itself.
MACHINE_PATHS = re.compile("|".join(("/" + "root/", "/" + "home/[a-z]", "/" + "work/", "/" + "Users/")))
REGISTRY_HOSTS = re.compile(
    "|".join((r"pypi\." + "org", r"python" + r"hosted\.org", r"repo1?\.maven", r"registry\." + "npmjs"))
)


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file that git knows, or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_the_layers_are_kept() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_worker_s_application_and_its_agent_feed_import_faust() -> None:
    statement = re.compile(r"^\s*(?:from|import)\s+(?:faust|mode)\b", re.MULTILINE)
    importers = {
        str(file.relative_to(ROOT)) for file in list_files(*{*HOUSES} - {"bench"}) if statement.search(text_of(file))
    }
    assert importers <= {"scoring/worker/faust_app.py", "scoring/worker/agent_feed.py"}


def test_the_contract_touches_no_file_socket_process_or_thread() -> None:
    statement = re.compile(
        r"^\s*(?:from|import)\s+(?:socket|subprocess|threading|asyncio|multiprocessing|http)\b", re.MULTILINE
    )
    opening = re.compile(r"\b(?:open\(|read_text\(|write_text\(|read_bytes\(|write_bytes\()")
    guilty = [
        str(file.relative_to(ROOT))
        for file in list_files("contract")
        if statement.search(text_of(file)) or opening.search(text_of(file))
    ]
    assert guilty == []


def test_folders_are_those_of_the_architecture(tracked: list[Path]) -> None:
    folders = {file.relative_to(ROOT).parts[0] for file in tracked if len(file.relative_to(ROOT).parts) > 1}
    visible = {folder for folder in folders if not folder.startswith(".")}
    assert visible <= FOLDERS
    assert visible >= REQUIRED


def test_every_test_stands_in_a_folder_of_its_kind(tracked: list[Path]) -> None:
    tests = [file.relative_to(ROOT / "tests") for file in tracked if file.is_relative_to(ROOT / "tests")]
    stray = [str(test) for test in tests if test.name.startswith("test_") and test.parts[0] not in TEST_FOLDERS]
    assert stray == []


def test_no_file_names_a_folder_of_somebody_s_machine(tracked: list[Path]) -> None:
    assert [str(file) for file in tracked if MACHINE_PATHS.search(text_of(file))] == []


def test_no_file_names_a_package_registry(tracked: list[Path]) -> None:
    assert [str(file) for file in tracked if REGISTRY_HOSTS.search(text_of(file))] == []


def test_every_requirement_has_an_exact_version_and_a_hash() -> None:
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", file.read_text(), flags=re.MULTILINE))
        for entry in filter(str.strip, entries):
            assert re.match(r"^[a-z0-9][a-z0-9._\[\]-]*==\S+", entry), f"{file.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{file.name}: {entry[:60]}"


@pytest.mark.parametrize("part", ["connectors", "scoring", "trainer", "federation", "backoffice", "dev"])
def test_the_locked_versions_are_those_that_the_project_asks_for(part: str) -> None:
    locked = dict(
        re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / f"requirements/{part}.txt").read_text(), re.MULTILINE)
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"] + project["optional-dependencies"][part]:
        wanted = Requirement(line)
        if wanted.name != "tillguard":
            assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), f"{line}: run `make lock`"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in list_files(*HOUSES)
        if text_of(file).strip() and not text_of(file).lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_words = {"manager", "helper", "helpers", "util", "utils", "common", "misc"}
    named = [
        str(file.relative_to(ROOT)) for file in list_files(*HOUSES, "tests") if set(file.stem.split("_")) & empty_words
    ]
    assert named == []
