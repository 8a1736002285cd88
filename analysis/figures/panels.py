"""Draws panels that are plain data (`core.experiments.panel`): the figures of reproduced experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.page import Drawing, Panel, figure
from ..drawing.style import colour, dash, ink, marker, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE = 3  # panels in a row
_MANY = 60  # points beyond which their markers are small


def draw(panels: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw panels, at most three in a row, under one title. Values that a paper prints are black crosses."""
    drawn = [Panel(partial(_panel, panel), (4.2, 3.4)) for panel in panels]
    with styled():
        return figure(Drawing(title, drawn, min(_WIDE, len(panels)), shared_legend=True))


def _panel(panel: Mapping[str, Any], axes: Axes) -> None:
    axes.set_title(panel["title"])
    axes.set_xlabel(panel["x"])
    axes.set_ylabel(panel["y"])
    for n, series in enumerate(panel["series"]):
        _series(axes, series, n)
    for label, height in panel["marks"].items():
        axes.axhline(height, color=ink(), linewidth=0.9, linestyle=(0, (4, 3)), label=label)
    if "x" in panel["log"]:
        axes.set_xscale("log")
    if "y" in panel["log"]:
        axes.set_yscale("log")
    if panel["ticks"]:
        axes.set_xticks(range(len(panel["ticks"])), panel["ticks"], rotation=20, ha="right")
    if panel["square"]:
        axes.set_aspect("equal")


def _series(axes: Axes, series: Mapping[str, Any], n: int) -> None:
    x, y, low, high = (
        np.array([np.nan if v is None else v for v in series[key]], dtype=float) for key in ("x", "y", "low", "high")
    )
    if series["paper"]:
        axes.plot(x, y, "x", color=ink(), markersize=7, label=series["label"], zorder=5)
        return
    style: dict[str, Any] = {"color": colour(n), "label": series["label"], "zorder": 3}
    if series["kind"] == "bars":
        axes.bar(x, y, width=0.6, alpha=0.8, **style)
    elif series["kind"] == "points":
        size = 5 if len(x) <= _MANY else 1.5
        axes.plot(x, y, linestyle="none", marker=marker(n), markersize=size, **style)
    else:
        axes.plot(x, y, linestyle=dash(n), **style)
    if len(low):
        if series["kind"] == "line":
            axes.fill_between(x, low, high, color=colour(n), alpha=0.2, linewidth=0)
        else:
            axes.errorbar(x, y, [y - low, high - y], fmt="none", ecolor="#333333", capsize=3, zorder=4)
