"""A simulation's results as plots in PNG. Pure but for the drawing."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federation.simulation.simulation import FIGURES, Results

_TITLES = {"auc": "AUC", "ap": "average precision", "accuracy": "accuracy at 0.5", "loss": "log loss"}
_BLUE, _RED, _GREY = "#2563a8", "#b3402a", "#8a8f98"
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e3e5e8",
    "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip
NAMES_MAX = 24
"""Participants whose names still have room under an axis."""


def render_plots(results: Results) -> dict[str, bytes]:
    """Each plot by the name of its file, as PNG."""
    found = {}
    for name, figure in draw_figures(results).items():
        image = io.BytesIO()
        with mpl.rc_context(_STYLE):
            figure.savefig(image, format="png", dpi=130, metadata={"Software": None})
        found[name] = image.getvalue()
    return found


def draw_figures(results: Results) -> dict[str, Figure]:
    """Likewise, not yet drawn."""
    plots: dict[str, Callable[[Results], Figure]] = {
        "rounds.png": _rounds,
        "participants.png": _participants,
        "cost.png": _cost,
    }
    if results.cross_site:
        plots["cross_site.png"] = _cross_site
    with mpl.rc_context(_STYLE):
        return {name: draw(results) for name, draw in plots.items()}


def _rounds(results: Results) -> Figure:
    """The four figures of the global model, round by round, next to those of central training."""
    figure = Figure(figsize=(8, 5.2), layout="constrained")
    figure.suptitle(results.title)
    for axes, name in zip(figure.subplots(2, 2).ravel(), FIGURES, strict=True):
        known = [(one.round, one.figures[name]) for one in results.rounds if name in one.figures]
        _line(axes, [number for number, _ in known], [value for _, value in known], _BLUE)
        if name in results.central:
            axes.axhline(results.central[name], color=_GREY, linestyle="--", linewidth=1, label="all data in one place")
            axes.legend(fontsize=7, loc="best")
        axes.set_title(_TITLES[name], fontsize=9)
        axes.set_xlabel("round (of training)")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _participants(results: Results) -> Figure:
    """Examples and fraud share of each, most examples first."""
    ordered = sorted(results.participants, key=lambda one: one.examples, reverse=True)
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    places = np.arange(len(ordered))
    above.bar(places, [one.examples for one in ordered], color=_BLUE)
    above.set_ylabel("examples")
    below.bar(places, [100 * one.fraud_share for one in ordered], color=_RED)
    below.set_ylabel("frauds, %")
    for axes in (above, below):
        axes.grid(visible=False, axis="x")
    _name(below, [one.name for one in ordered])
    return figure


def _cost(results: Results) -> Figure:
    """Bytes and time of each round."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    sent, took = figure.subplots(2, 1, sharex=True)
    numbers = [one.round for one in results.rounds]
    _line(sent, numbers, [one.bytes_up / 1e6 for one in results.rounds], _BLUE, "sent by all participants")
    _line(sent, numbers, [one.bytes_down / 1e6 for one in results.rounds], _RED, "sent by the coordinator")
    sent.set_ylabel("MB")
    _line(took, numbers, [one.virtual_ms / 1000 for one in results.rounds], _BLUE, "virtual time of the round")
    _line(took, numbers, [one.cpu_s for one in results.rounds], _RED, "processor, everyone together")
    took.set_ylabel("s")
    took.set_xlabel("round (of training, with what was summed up before and after)")
    took.xaxis.get_major_locator().set_params(integer=True)
    for axes in (sent, took):
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    return figure


def _cross_site(results: Results) -> Figure:
    """Everyone's own model on everyone's newest examples."""
    names = list(results.cross_site)
    values = np.array([[results.cross_site[name].get(other, np.nan) for other in names] for name in names])
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.set_facecolor("#d5d8dc")
    image = axes.imshow(np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("newest examples of (grey: without a fraud)")
    axes.set_ylabel("model trained alone by")
    _name(axes, names)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    figure.colorbar(image, ax=axes, label="average precision")
    return figure


def _line(axes: Axes, rounds: Sequence[int], values: Sequence[float], color: str, label: str | None = None) -> None:
    axes.plot(rounds, values, color=color, marker="o", markersize=3, label=label)


def _name(axes: Axes, names: Sequence[str]) -> None:
    if len(names) <= NAMES_MAX:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    else:
        axes.set_xlabel(f"{len(names)} participants, most examples first")
