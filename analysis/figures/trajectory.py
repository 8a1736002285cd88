"""Figure: the path of the parameters in a plane, or the norms of the parameters if no plane was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..log.log import Log
from ..measures.convergence import diverged
from .card import Card
from .scales import drawable, scale, symlog
from .style import colour, dash, line, new_figure, short, thin, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="Path of the parameters.",
    caption=(
        "Path of the parameters, from the open circle to the filled mark. Where no plane was recorded: the norms of"
        " the players' parameters."
    ),
    needs=("step/parameters", "step/projection", "step/parameter_norms"),
)

_PATHS = 32  # most members whose path is drawn
_MARKS = ("start", "end", "end, diverged")


def draw(logs: list[Log]) -> Figure:
    """Draw all runs in one plane if they share it, else each in a panel of its own."""
    planes = [plane(log) for log in logs]
    if any(p is None for p in planes):
        return _norms(logs)
    paths = [p for p in planes if p is not None]
    together = len({(x, y) for _, x, y in paths}) == 1 and all("principal" not in x for _, x, _ in paths)
    fig, panels = new_figure(1, 1 if together else len(logs), (5.4, 4.6 + 0.2 * (len(logs) - 1) * together))
    for i, (log, (points, x, y)) in enumerate(zip(logs, paths, strict=True)):
        axes = panels[0, 0 if together else i]
        _path(axes, log, points, i if together else 0, title(log) if len(logs) > 1 else "path")
        axes.set_xlabel(short(x, 60))
        axes.set_ylabel(short(y, 60))
        if not together or len(logs) == 1:
            axes.set_title(title(log))
    for axes in panels.flat:
        _fit(axes)
        # Names of runs are long: two beside each other would be wider than the panel.
        if axes.get_lines():
            marks = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            names = sorted(marks, key=lambda label: label in _MARKS)  # runs first, then what the marks mean
            columns = 3 if len(logs) == 1 else 1
            axes.legend(
                [marks[n] for n in names], names, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=columns
            )
    return fig


def plane(log: Log) -> tuple[np.ndarray, str, str] | None:
    """Return the path (steps, members, 2) and the names of the plane's axes; None where none was recorded.

    Two parameters are shown as they are. Of more parameters, the two principal directions of the path are shown.
    """
    if "step/parameters" in log:
        path, names = log["step/parameters"], log.labels("parameter")
    elif "step/projection" in log and log.shape("step/projection")[-1] >= 2:
        path, names = log["step/projection"], log.labels("direction")
    else:
        return None
    if path.shape[-1] < 2:
        return None
    path = path.reshape(len(path), -1, path.shape[-1])  # (steps, members, parameters)
    if path.shape[-1] == 2 or "step/parameters" not in log:
        named = names or ("0", "1")
        unit = "" if "step/parameters" in log else "parameters projected on direction "
        return path[..., :2], f"{unit}{named[0]}", f"{unit}{named[1]}"
    flat = path.reshape(-1, path.shape[-1])
    good = flat[np.isfinite(flat).all(axis=1)]
    if len(good) < 2 or not np.isfinite(np.abs(good).max() ** 2 * good.size):
        return None
    centre = good.mean(axis=0)
    _, s, directions = np.linalg.svd(good - centre, full_matrices=False)
    share = s**2 / max(float((s**2).sum()), np.finfo(float).tiny)
    share = np.append(share, 0.0)
    shown = (path - centre) @ directions[:2].T
    if shown.shape[-1] < 2:
        return None
    first, second = (f"principal direction {i + 1} of the path ({share[i]:.0%} of its variance)" for i in (0, 1))
    return shown, first, second


def _path(axes: Axes, log: Log, points: np.ndarray, index: int, label: str) -> None:
    members, gone = points.shape[1], diverged(log)
    for m in range(min(members, _PATHS)):
        x, y = drawable(points[:, m, 0]), drawable(points[:, m, 1])
        good = np.isfinite(x) & np.isfinite(y)
        x, y = x[good], y[good]
        if not len(x):
            continue
        first = m == 0
        name = label if members == 1 else f"{label}, {min(members, _PATHS)} of {members} members"
        at = _thinned(x, y)
        shade = colour(index) if members == 1 or index else colour(m)
        axes.plot(x[at], y[at], color=shade, linestyle=dash(index), linewidth=1.1, label=name if first else None)
        failed = log.status.get("state") == "diverged" or bool(gone[m])
        edge: dict[str, Any] = {"color": shade, "linestyle": "none", "zorder": 4, "markersize": 7}
        end = _MARKS[2] if failed else _MARKS[1]
        axes.plot(x[:1], y[:1], marker="o", markerfacecolor="white", label=_once(axes, _MARKS[0]), **edge)
        axes.plot(x[-1:], y[-1:], marker="X" if failed else "s", label=_once(axes, end), **edge)


def _once(axes: Axes, label: str) -> str | None:
    """``label`` if the legend does not have it yet, so that it names start and end once."""
    return None if label in axes.get_legend_handles_labels()[1] else label


def _thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = len(x)
    steps = np.arange(n)
    return np.union1d(thin(steps, x)[0], thin(steps, y)[0])


def _fit(axes: Axes) -> None:
    """Draw the axes through the origin if it is in view; use symlog scales for a path that grows over decades."""
    sides: tuple[tuple[str, Literal["x", "y"]], ...] = (("get_xdata", "x"), ("get_ydata", "y"))
    for values, which in sides:
        data = [np.asarray(getattr(drawn, values)(), dtype=float) for drawn in axes.get_lines()]
        both = np.abs(np.concatenate(data)) if data else np.zeros(0)
        both = both[both > 0]
        if len(both) and both.max() > 1e4 * np.median(both):
            symlog(axes, which, float(np.median(both)), float(both.max()))
        elif which == "x":
            axes.locator_params(axis="x", nbins=6)  # labels with many digits would overlap
    for (low, high), zero in ((axes.get_ylim(), axes.axhline), (axes.get_xlim(), axes.axvline)):
        if low < 0 < high:  # else the view would have to include the origin, and a path far from it would be a dot
            zero(0, color="#999999", linewidth=0.7, zorder=1)


def _norms(logs: list[Log]) -> Figure:
    fig, panels = new_figure(1, 1, (6.4, 3.6))
    axes, curve, shown = panels[0, 0], 0, []
    for log in logs:
        norms = log["step/parameter_norms"]
        for i, player in enumerate(log.players):
            label = short(player) if len(logs) == 1 else f"{short(player)}, {title(log)}"
            line(axes, log["step/step"], norms[..., i], curve, label)
            shown.append(norms[..., i].ravel())
            curve += 1
    scale(axes, np.concatenate(shown), positive=True)
    axes.set_xlabel("step")
    axes.set_ylabel("parameter norm, ‖θ‖")
    axes.set_title(title(logs[0]) if len(logs) == 1 else "Parameter norms")
    axes.legend(loc="best")
    return fig
