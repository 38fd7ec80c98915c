"""Gathers the pages of the documentation site: the guides as they stand in the repository, and a page of the reference for each room.

`python scripts/docs_pages.py FOLDER`. The guides keep their places, so that their links hold; the reference names the modules of the
product, whose docstrings the site's generator reads.
"""

import ast
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = ("*.md", "LICENSE", "docs/**/*", "deploy/README.md", "deploy/**/*.yaml", "scripts/plain-words.txt")
PRODUCT = ("contract", "runtime", "connectors", "scoring", "trainer", "federation", "backoffice", "tillguard")


def main(folder: Path) -> None:
    """Writes all pages into `folder`, whose content is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted({file for pattern in GUIDES for file in ROOT.glob(pattern) if file.is_file()}):
        place = folder / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    rooms = [room for package in PRODUCT for room in list_rooms(ROOT / package)]
    reference = folder / "reference"
    reference.mkdir()
    for room in rooms:
        (reference / f"{name_room(room)}.md").write_text(render_page(room), encoding="utf-8")
    lines = [
        f"| [`{name_room(room)}`]({name_room(room)}.md) | {read_first_line(room / '__init__.py')} |" for room in rooms
    ]
    table = "\n".join(("| Room | What it is for |", "| --- | --- |", *lines))
    (reference / "README.md").write_text(f"# Reference\n\n{table}\n", encoding="utf-8")


def list_rooms(package: Path) -> list[Path]:
    """The package and its subpackages that have modules; migrations of databases are no part of the reference."""
    folders = [package, *sorted(folder for folder in package.rglob("*") if folder.is_dir())]
    return [folder for folder in folders if (folder / "__init__.py").exists() and "migrations" not in folder.parts]


def render_page(room: Path) -> str:
    """Markdown of one room: its sentence, then every module for the generator to fill in."""
    modules = [file.stem for file in sorted(room.glob("*.py")) if not file.stem.startswith("__")]
    parts = [
        f"# {name_room(room)}",
        read_first_line(room / "__init__.py"),
        *(f"::: {name_room(room)}.{one}" for one in modules),
    ]
    return "\n\n".join(parts) + "\n"


def read_first_line(file: Path) -> str:
    """The first line of a module's docstring; empty where it has none."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def name_room(room: Path) -> str:
    """As it is imported."""
    return ".".join(room.relative_to(ROOT).parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
