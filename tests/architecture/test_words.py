"""The glossary: short, and no file, class or public function has a word that it rules out."""

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
    for file in (file for house in HOUSES for file in sorted((ROOT / house).rglob("*.py"))):
        where = str(file.relative_to(ROOT))
        found.append((where, file.stem))
        named = (node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, NAMED))
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


PLAIN = {
    "in place of": "instead of",
    "anew": "again",
    "mend": "fix",
    "for ever": "forever",
    "goes on": "continues",
    "go on": "continue",
    "so many": "this many, or the number",
    "beside": "next to",
}
"""Phrases over which a native reader stumbles, and what to say; in guides, docstrings, comments and messages."""


def texts() -> list[tuple[str, str]]:
    guides = [ROOT / name for name in ("README.md", "ROADMAP.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    found = [(file, file.read_text(encoding="utf-8")) for file in [*guides, *(ROOT / "docs").rglob("*.md")]]
    for file in (file for house in HOUSES for file in (ROOT / house).rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        said = (token.string for token in tokens if token.type in {tokenize.STRING, tokenize.COMMENT})
        found.append((file, "\n".join(said)))
    return [(str(file.relative_to(ROOT)), text) for file, text in found]


def test_guides_and_docstrings_use_plain_words() -> None:
    pattern = re.compile(rf"(?<![{{_`])\b({'|'.join(PLAIN)})\b(?![}}_`])", re.IGNORECASE)
    guilty = [
        f"{where}: {found[1]!r}, say {PLAIN[found[1].lower()]!r}"
        for where, text in texts()
        if where != "docs/glossary.md"
        for found in pattern.finditer(text)
    ]
    assert guilty == []
