"""Rooms: each is in the table of the architecture, none imports another in a circle, and a file that says it is pure is."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from support.source_tree import HOUSES, PRODUCT, ROOT, list_files, says_pure, walk

FILES_MAX = 24
IMPURE = {
    "aiohttp", "aiokafka", "asyncio", "confluent_kafka", "fcntl", "faust", "http", "kafka", "multiprocessing", "os", "pymongo",
    "pymysql", "redis", "secrets", "shutil", "signal", "socket", "sqlalchemy", "structlog", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib",
}  # fmt: skip
"""Input, output, a clock, or randomness that no seed repeats."""
IMPURE_CALLS = re.compile(r"\b(?:datetime\.now|default_rng\(\)|open\(|\.read_text\(|\.write_text\()")


def modules() -> dict[str, Path]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in list_files()
    }


MODULES = modules()


@cache
def imports(file: Path) -> list[str]:
    return list(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in walk(file):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                yield whole if whole in MODULES else node.module


def rooms_of(house: str) -> set[str]:
    kept = {"migrations", "versions", "report"}
    files = (ROOT / house).rglob("*.py")
    return {
        str(file.parent.relative_to(ROOT)) for file in files if file.name != "__init__.py" and not kept & {*file.parts}
    }


@cache
def room(name: str) -> str:
    """The folder of a module; a module that stands next to rooms is one of its own."""
    folder = MODULES[name].parent
    beside = any((child / "__init__.py").exists() for child in folder.iterdir() if child.name != "migrations")
    return name if beside and MODULES[name].name != "__init__.py" else str(folder.relative_to(ROOT))


def test_every_room_of_the_product_is_in_the_table_of_the_architecture_and_no_other() -> None:
    text = (
        (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("| Room |")[2].partition("\n## ")[0]
    )
    told = set(re.findall(r"^\| `([a-z/]+)` \|", text, re.MULTILINE))
    assert told == {each for house in PRODUCT for each in rooms_of(house)}


@pytest.mark.parametrize("place", [room, str], ids=["rooms", "files"])
def test_nothing_is_imported_in_a_circle(place: Callable[[str], str]) -> None:
    edges: dict[str, set[str]] = {}
    for name, file in MODULES.items():
        there = {place(used) for used in imports(file) if used in MODULES}
        edges.setdefault(place(name), set()).update(there - {place(name)})
    while leaves := [name for name, used in edges.items() if not used & edges.keys()]:
        for name in leaves:
            del edges[name]
    # what is left imports, and is imported by, something that is left
    assert {name: sorted(used & edges.keys()) for name, used in edges.items()} == {}


@pytest.mark.parametrize("house", HOUSES)
def test_no_folder_is_a_corridor(house: str) -> None:
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder in {file.parent for file in (ROOT / house).rglob("*.py")}
        if (count := len(list(folder.glob("*.py")))) > FILES_MAX
    }
    assert crowded == {}


def test_a_file_that_says_it_is_pure_touches_no_outside_no_clock_and_no_chance() -> None:
    guilty, seen = {}, 0
    for name, file in MODULES.items():
        if not says_pure(file):
            continue
        text = file.read_text(encoding="utf-8")
        seen += 1
        named = set(imports(file))
        used = {one.partition(".")[0] for one in named if one != "pymongo.errors"} & IMPURE
        if "random" in named and re.search(r"\brandom\.(?!Random\b)[a-z]", text):
            used.add("random")
        if used or IMPURE_CALLS.search(text):
            guilty[name] = sorted(used) or IMPURE_CALLS.findall(text)
    assert seen > 100
    assert guilty == {}


def test_unit_tests_stand_in_the_rooms_of_what_they_test() -> None:
    unit = ROOT / "tests" / "unit"
    folders = {file.parent.relative_to(unit) for file in unit.rglob("test_*.py")}
    strange = [str(each) for each in folders if not ((ROOT / each).is_dir() or (ROOT / "tests" / each).is_dir())]
    assert len(folders) > 40
    assert strange == []
