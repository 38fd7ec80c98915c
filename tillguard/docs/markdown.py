"""Small pieces of Markdown."""

from collections.abc import Sequence

NOTICE = "<!-- Written by `tillguard docs` from the code; changes by hand are lost. -->\n\n"
NONE = "-"
"""A cell that has nothing to say."""


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells must hold no newline, and a bar only where escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
