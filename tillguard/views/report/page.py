"""Pieces of a page, and the page itself. Pure but for reading its template: text in, HTML out; every value is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

ABSENT = "\u2013"
SHORT_MAX = 24
"""Characters of a cell that stays on one line, such as a number with its unit."""
Cell = str | int | float | None


def format_number(value: Cell) -> str:
    """A value for people: thousands separated, at most two decimals, a dash for nothing."""
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else value


def format_milliseconds(value: float | None) -> str:
    """A duration with one decimal."""
    return ABSENT if value is None else f"{value:,.1f} ms"


def format_percent(share: float | None) -> str:
    """A share as a percentage with one decimal."""
    return ABSENT if share is None else f"{100 * share:.1f} %"


def render_tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    """Key figures: value, what it is, a remark."""
    inside = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span><small>{escape(remark)}</small></div>'
        for value, label, remark in entries
    )
    return f'<div class="tiles">{inside}</div>'


def render_table(head: Sequence[str], rows: Sequence[Sequence[Cell]], *, caption: str = "") -> str:
    """A table that scrolls sideways where it is too wide; the first column names the row, columns of longer texts wrap."""
    kinds = [' class="words"' if at and _is_wordy(row[at] for row in rows) else "" for at in range(len(head))]
    header = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    body = ""
    for row in rows:
        cells = zip(kinds[1:], row[1:], strict=True)
        body += f"<tr><th>{escape(format_number(row[0]))}</th>"
        body += "".join(f"<td{kind}>{escape(format_number(cell))}</td>" for kind, cell in cells) + "</tr>"
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def _is_wordy(cells: Iterable[Cell]) -> bool:
    return any(isinstance(cell, str) and len(cell) > SHORT_MAX for cell in cells)


def render_shaded_table(
    head: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]], colours: Sequence[str], remarks: Sequence[str]
) -> str:
    """Counts, each cell shaded by its share of the row in its column's colour; a remark ends the row."""
    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = ""
    for (name, counts), remark in zip(rows, remarks, strict=True):
        total = max(sum(counts), 1)
        cells = "".join(
            f'<td style="--c:var(--{colour});--a:{round(85 * count / total)}%" class="heat">{count:,}</td>'
            for count, colour in zip(counts, colours, strict=True)
        )
        body += f"<tr><th>{escape(name)}</th>{cells}<td>{escape(remark)}</td></tr>"
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'


def render_bars(entries: Mapping[str, int], explain: Mapping[str, str]) -> str:
    """Counts as bars, the longest first, with an explanation under each name."""
    longest = max(entries.values(), default=1)
    return "".join(
        f'<div class="bar"><div><b>{escape(name)}</b><small>{escape(explain.get(name, ""))}</small></div>'
        f'<i style="width:{100 * count / longest:.1f}%"></i><span>{count:,}</span></div>'
        for name, count in sorted(entries.items(), key=lambda entry: -entry[1])
    )


def render_example(decision: str, title: str, facts: str, reasons: Sequence[str]) -> str:
    """One judged transaction: the decision as a badge, what it was, and why in words."""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return (
        f'<article class="example"><header><em class="{escape(decision)}">{escape(decision)}</em>'
        f"<b>{escape(title)}</b></header><p>{escape(facts)}</p><ul>{listed}</ul></article>"
    )


def render_card(title: str, body: str, remark: str = "", *, wide: bool = False) -> str:
    """A titled box; `body` is HTML."""
    note = f"<p>{escape(remark)}</p>" if remark else ""
    return f'<section class="card{" wide" if wide else ""}"><h2>{escape(title)}</h2>{note}{body}</section>'


def render_paragraphs(texts: Sequence[str]) -> str:
    """Plain texts, each a paragraph."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def render_broad(picture: str) -> str:
    """A picture for a wide card; on a phone it scrolls sideways instead of shrinking until nobody can read it."""
    return f'<div class="scroll"><div style="min-width:640px">{picture}</div></div>'


def render_page(title: str, lead: str, body: str, foot: str) -> str:
    """The whole file; `body` is HTML, the rest plain text."""
    template = Template((files("tillguard.views.report") / "page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), lead=escape(lead), body=body, foot=escape(foot))
