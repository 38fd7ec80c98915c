"""Plots as inline SVG whose colours are the page's CSS variables, so that one picture serves light and dark. Pure.

matplotlib is drawn with stand-in colours that occur nowhere else; each is then replaced by its variable.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = {
    "ink": "#010203",
    "muted": "#010204",
    "line": "#010205",
    "accent": "#010206",
    "allow": "#01020a",
    "flag": "#01020b",
    "hold": "#01020c",
    "block": "#01020d",
    "genuine": "#01020e",
    "fraud": "#01020f",
}
"""Name of a CSS variable → the stand-in colour that matplotlib draws."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "text.color": PALETTE["ink"],
    "axes.edgecolor": PALETTE["line"],
    "axes.labelcolor": PALETTE["muted"],
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": PALETTE["line"],
    "grid.linewidth": 0.7,
    "xtick.color": PALETTE["line"],
    "ytick.color": PALETTE["line"],
    "xtick.labelcolor": PALETTE["muted"],
    "ytick.labelcolor": PALETTE["muted"],
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "none",
}
_NOT_NEEDED = re.compile(r"<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>| xmlns(:\w+)?=\"[^\"]*\"", re.DOTALL)


@contextmanager
def _drawing(name: str, height: float = 2.7, width: float = 5.0) -> Iterator[tuple[Figure, Axes, list[str]]]:
    """A figure of 5 inches, as wide as a phone, unless told; the SVG is in the list afterwards."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        svg: list[str] = []
        yield figure, figure.subplots(), svg
        svg.append(_svg(figure, name))


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = _NOT_NEEDED.sub("", buffer.getvalue()).strip()
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    for name, colour in PALETTE.items():
        text = text.replace(colour, f"var(--{name})")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def draw_latency(series: Mapping[str, Sequence[float]]) -> str:
    """Histogram of milliseconds on a logarithmic axis, one outline per series, its median and p99 marked."""
    with _drawing("Latency", 2.9) as (figure, axes, svg):
        values = [np.clip(np.asarray(numbers, dtype=float), 0.1, None) for numbers in series.values() if len(numbers)]
        if values:
            low, high = min(v.min() for v in values), max(v.max() for v in values)
            bins = np.geomspace(low * 0.9, high * 1.1, 60).tolist()
            for (label, colour), numbers in zip(_named(series, ("accent", "muted")), values, strict=False):
                p50, p99 = np.percentile(numbers, (50, 99))
                axes.hist(numbers, bins=bins, histtype="stepfilled", color=PALETTE[colour], alpha=0.35, label=label)
                axes.axvline(p50, color=PALETTE[colour], linewidth=1.4)
                axes.axvline(p99, color=PALETTE[colour], linewidth=1.4, linestyle=(0, (3, 2)))
            figure.legend(loc="outside upper right", ncols=2)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("milliseconds; line = median, dashed = 99 of 100")
        axes.set_ylabel("transactions")
    return svg[0]


def _named(series: Mapping[str, Sequence[float]], colours: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip([name for name, numbers in series.items() if len(numbers)], colours, strict=False))


def draw_scores(genuine: Sequence[float], fraud: Sequence[float]) -> str:
    """Share of genuine and fraudulent transactions by score, on a logarithmic axis, for the frauds are few."""
    with _drawing("Score by truth") as (_, axes, svg):
        bins = np.linspace(0.0, 1.0, 41).tolist()
        for label, numbers in (("genuine", genuine), ("fraud", fraud)):
            if len(numbers):
                weights = np.full(len(numbers), 100.0 / len(numbers))
                axes.hist(
                    numbers,
                    bins=bins,
                    weights=weights,
                    color=PALETTE[label],
                    alpha=0.5,
                    label=f"{label} ({len(numbers):,})",
                )
        if len(genuine) or len(fraud):
            axes.set_yscale("log")
            axes.legend(loc="upper center")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.set_xlabel("score (probability of fraud)")
    return svg[0]


def draw_precision_recall(
    precision: Sequence[float], recall: Sequence[float], points: Mapping[str, tuple[float, float]]
) -> str:
    """The curve over all thresholds; `points` are where decisions start: name → (recall, precision)."""
    with _drawing("Precision and recall") as (_, axes, svg):
        axes.plot(recall, precision, color=PALETTE["accent"], linewidth=1.8)
        for name, (x, y) in points.items():
            axes.plot([x], [y], "o", color=PALETTE[name], markersize=8, label=f"{name} and above")
        if points:
            axes.legend(loc="lower left")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.04)
        axes.set_xlabel("recall: share of frauds found")
        axes.set_ylabel("precision")
    return svg[0]


def draw_timeline(seconds: Sequence[float], decisions: Sequence[str], order: Sequence[str]) -> str:
    """Transactions per second over the run, stacked by decision."""
    with _drawing("Transactions per second", 2.4) as (_, axes, svg):
        if len(seconds):
            length = max(int(max(seconds)) + 1, 2)
            rows = [
                np.bincount([int(s) for s, d in zip(seconds, decisions, strict=True) if d == name], minlength=length)
                for name in order
            ]
            axes.stackplot(
                np.arange(length),
                rows,
                colors=[PALETTE[name] for name in order],
                labels=list(order),
                alpha=0.85,
                step="mid",
            )
            axes.set_xlim(0, length - 1)
            axes.set_ylim(0, float(np.sum(rows, axis=0).max()) * 1.25)
            axes.legend(loc="upper center", ncols=len(order))
        axes.set_xlabel("seconds into the live phase")
        axes.set_ylabel("transactions")
    return svg[0]


def draw_recall(
    series: Mapping[str, Sequence[tuple[float, bool]]], marks: Mapping[str, float], every_s: float = 4.0
) -> str:
    """Recall over time, a line per model: each point the share found among the frauds of `every_s`, the larger the more there were.

    `series`: model → (seconds, found) for each fraud. `marks`: what happened → seconds. A faint line is the model's recall over all.
    """
    with _drawing("Recall over time", 3.0, 9.0) as (figure, axes, svg):
        for (name, answers), colour in zip(series.items(), ("muted", "accent"), strict=False):
            if not answers:
                continue
            middles, shares, counts = _by_time(answers, every_s)
            mean = 100 * float(np.mean([found for _, found in answers]))
            axes.hlines(mean, min(middles), max(middles), color=PALETTE[colour], linewidth=4, alpha=0.3)
            axes.plot(
                middles, shares, color=PALETTE[colour], linewidth=1.6, label=f"{name}: {mean:.0f} % of {len(answers):,}"
            )
            axes.scatter(middles, shares, s=[8.0 + 3.0 * count for count in counts], color=PALETTE[colour])
        for (name, seconds), colour in zip(marks.items(), ("hold", "allow"), strict=False):
            axes.axvline(seconds, color=PALETTE[colour], linewidth=1.6, linestyle=(0, (3, 2)), label=name)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper left", ncols=4)
        axes.set_ylim(-4, 104)
        axes.set_xlim(left=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.set_xlabel("seconds since the new fraud began")
        axes.set_ylabel("found")
    return svg[0]


def draw_pairs(groups: Mapping[str, tuple[float | None, float | None]], names: tuple[str, str]) -> str:
    """Shares of two states side by side, a pair of bars per group with the percentage above each; None: no bar."""
    with _drawing(f"{names[0]} and {names[1]}", 3.0, 9.0) as (figure, axes, svg):
        for place, (name, colour) in enumerate(zip(names, ("muted", "accent"), strict=True)):
            known = [pair[place] for pair in groups.values()]
            shares = [np.nan if share is None else 100 * share for share in known]
            at = np.arange(len(groups)) + 0.36 * place - 0.18
            bars = axes.bar(at, shares, 0.34, color=PALETTE[colour], alpha=0.85, label=name)
            axes.bar_label(bars, fmt=lambda value: f"{value:.0f} %", padding=2, color=PALETTE["ink"], fontsize=9.5)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.grid(visible=False, axis="x")
        axes.set_ylim(0, 112)
        axes.set_yticks(range(0, 101, 25))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.set_ylabel("of the frauds stopped")
        figure.legend(loc="outside upper left", ncols=2)
    return svg[0]


def _by_time(answers: Sequence[tuple[float, bool]], every_s: float) -> tuple[list[float], list[float], list[int]]:
    """Middle of each span that holds an answer, its share found in percent, and how many there were."""
    spans: dict[int, list[bool]] = {}
    for seconds, found in answers:
        spans.setdefault(int(seconds // every_s), []).append(found)
    ordered = sorted(spans.items())
    return (
        [(place + 0.5) * every_s for place, _ in ordered],
        [100 * float(np.mean(found)) for _, found in ordered],
        [len(found) for _, found in ordered],
    )
