"""What the documentation site is made of: every guide in its place, every module of the product on one page of the reference."""

import re
import subprocess
import sys
from pathlib import Path

from support.source_tree import PRODUCT, ROOT, list_files


def test_the_site_has_every_guide_and_every_module_of_the_product_once(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "docs_pages.py", tmp_path / "pages"], cwd=ROOT, check=True)
    guides = {file.relative_to(ROOT) for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]}
    assert guides == {
        page
        for page in (file.relative_to(tmp_path / "pages") for file in (tmp_path / "pages").rglob("*.md"))
        if page.parts[0] not in {"reference", "deploy"}
    }
    pages = (tmp_path / "pages" / "reference").glob("*.md")
    told = [
        name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in list_files(*PRODUCT)
        if not file.stem.startswith("__") and "migrations" not in file.parts
    ]
    assert sorted(told) == sorted(modules)
