"""Figure: metrics, with a panel for each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..log.log import Log
from ..log.tables import coordinate
from .card import Card
from .style import AGAINST, colour, empty, legend_below, line, new_figure, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="Metrics.",
    caption="Metrics: curves over the run; bars for the last evaluation of those with several values.",
    needs=("metrics/step",),
    options=("against",),
)

MAX_PANELS = 40  # each takes a fifth of a second, and more would be too small to read


def draw(logs: list[Log], against: str = "step") -> Figure:
    """A metric of one number becomes a curve for each run; a metric of several numbers, bars of its last evaluation."""
    names = list(dict.fromkeys(key for log in logs for key in log if key.startswith("metrics/")))
    names.remove("metrics/step")
    names.sort(key=lambda key: max(log.variables[key].dims[1:] != () for log in logs if key in log))  # curves first
    left_out, names = len(names) - MAX_PANELS, names[:MAX_PANELS]
    columns = min(max(len(names), 1), 2)
    fig, panels = new_figure(max(1, math.ceil(len(names) / columns)), columns, (4.8, 3.0))
    for axes, key in zip(panels.flat, names, strict=False):
        _panel(axes, logs, key, against)
    if len(logs) > 1:
        legend_below(fig)
    for axes in panels.flat[len(names) :]:
        empty(axes, "" if names else "no metrics")
    more = f" (and {left_out} more metrics)" if left_out > 0 else ""
    fig.suptitle((title(logs[0]) if len(logs) == 1 else "Metrics") + more, fontsize=10.5)
    return fig


def _panel(axes: Axes, logs: list[Log], key: str, against: str) -> None:
    steps, measured = dict[str, int](), set[str]()
    holders = [(i, log) for i, log in enumerate(logs) if key in log]
    for place, (i, log) in enumerate(holders):
        about, values = log.variables[key], log[key]
        own = [d for d in about.dims[1:] if d != "member"]
        label = short(about.long_name) if len(logs) == 1 else title(log)
        if len(own) > 1:
            return empty(axes, f"{short(about.name)}: read it with log[{key!r}]")
        if not own:
            seen = ~np.isnan(values).reshape(len(values), -1).all(axis=1)
            x = log["metrics/step"][seen]
            if against != "step":
                x = np.interp(x, log["step/step"], log[f"step/{against}"])
            line(axes, x, values[seen], i, label, remark=len(logs) == 1)
            axes.set_xlabel(AGAINST[against])
            axes.set_ylabel(f"{short(about.long_name)} ({about.units})")
            measured |= {about.measured_by} - {""}
        else:
            at = _bars(axes, log, key, i, place, len(holders), label)
            steps |= {} if at is None else {log.name: at}
    if measured:  # runs whose extractors or counts differ cannot be compared
        axes.set_title("by " + " or ".join(short(one, 50) for one in sorted(measured)), fontsize=8)
    if steps:
        axes.set_title(_when(steps), fontsize=9 if len(steps) > 1 else None)
    if len(logs) == 1 and axes.get_legend_handles_labels()[0]:  # empty if no number could be drawn
        axes.legend(loc="best")


def _when(steps: dict[str, int]) -> str:
    """The steps of the runs' last evaluations, in words."""
    first, last = min(steps.values()), max(steps.values())
    if first == last:
        return f"at step {first}"
    if len(steps) > 3:
        return f"at the last evaluation of each: steps {first} to {last}"
    return "\n".join(f"{short(name, 40)} at step {step}" for name, step in steps.items())


def _bars(axes: Axes, log: Log, key: str, index: int, place: int, total: int, label: str) -> int | None:
    """Draw the last evaluation of a metric of several numbers and return its step; None where there is none.

    ``index`` is the number of the colour; the bars are at the ``place`` of ``total``.
    """
    about, values = log.variables[key], log[key]
    axis = about.dims.index(next(d for d in about.dims[1:] if d != "member"))
    values = np.moveaxis(values, axis, -1)
    values = values.reshape(len(values), -1, values.shape[-1])  # (rows, members, bars)
    seen = np.flatnonzero(~np.isnan(values).all(axis=(1, 2)))
    if not len(seen):
        return None
    heights = values[seen[-1]].mean(axis=0)
    names = coordinate(log, about.dims[axis], len(heights))
    width = 0.8 / total
    at = np.arange(len(heights)) + (place - (total - 1) / 2) * width
    hatch = ("", "//", "..", "xx", "\\\\", "++", "oo")[index % 7]
    axes.bar(at, heights, width, color=colour(index), hatch=hatch, edgecolor="white", label=label)
    if len(heights) <= 20:
        axes.set_xticks(np.arange(len(heights)), [short(str(n), 12) for n in names])
    axes.set_xlabel(short(about.dims[axis].replace("_", " ")))
    axes.set_ylabel(f"{short(about.long_name)} ({about.units})")
    return int(log["metrics/step"][seen[-1]])
