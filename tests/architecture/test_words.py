"""The glossary: short, and no file, class or public function has a word that it rules out."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from support.source_tree import ROOT, list_files, walk

TERMS_MAX = 80
NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
ELSEWHERE = {"afterwards", "absorb", "hear", "finishing", "purposes", "wording", "widened", "saboteur", "alliance"}
"""Words that stood for an idea which has a term now."""


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]


def words_of(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def names() -> list[tuple[str, str]]:
    found = []
    for file in list_files():
        where = str(file.relative_to(ROOT))
        found.append((where, file.stem))
        named = (node for node in walk(file) if isinstance(node, NAMED))
        found += [(where, node.name) for node in named if not node.name.startswith("_")]
    return found


def test_the_glossary_is_short_and_says_each_term_once() -> None:
    terms = [row[0] for row in rows()]
    assert 50 < len(terms) <= TERMS_MAX
    assert len(set(terms)) == len(terms)
    assert all(len(row) == 3 and row[1] for row in rows())


def test_no_name_has_a_word_that_the_glossary_rules_out() -> None:
    ruled_out = ELSEWHERE | {word.strip() for row in rows() for word in row[2].split(",") if word.strip()}
    assert len(ruled_out) > len(ELSEWHERE)
    guilty = [
        f"{where}: {name}"
        for where, name in names()
        if set(words_of(name)) & {*ruled_out, *(f"{w}s" for w in ruled_out)}
    ]
    assert guilty == []


def test_the_linter_of_make_lint_finds_words_that_readers_stumble_over(tmp_path: Path) -> None:
    phrases = ["in place of it", "so many rows", "it goes on", "Mend it", "anew", "beside it", "occured"]
    text = "".join(f"What is said {phrase} here.\n" for phrase in phrases)
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    found = subprocess.run(
        [Path(sys.executable).with_name("codespell"), tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = {int(line) for line in re.findall(r"page\.md:(\d+): ", found.stdout)}
    assert [phrase for number, phrase in enumerate(phrases, 1) if number not in lines] == []
