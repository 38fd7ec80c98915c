"""Names and numbers in words, for whoever reads a report or a table. Pure."""

from collections.abc import Sequence


def format_list(names: Sequence[str], most: int) -> str:
    """The first `most` of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def format_change(value: float | None) -> str:
    """By how much a figure moved, with its sign; empty where that is not known."""
    return "" if value is None else f"{value:+.4f}"
