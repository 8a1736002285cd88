"""How figures look: colours that colour-blind readers can distinguish, lines and markers that differ in grey print."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import printable
from ...core.stability.rate import noisy
from ...core.stability.step_sizes import name_of
from ..log.log import Log
from ..optional import need
from .scales import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, without its yellow, which is hard to see on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# horizontal axis of curves -> its label
AGAINST = {
    "step": "step",
    "gradients": "gradient evaluations",
    "products": "Jacobian-vector products",
    "samples": "samples drawn",
    "seconds": "time of the solver (s)",
    "solver_seconds": "time of the solver (s)",
    "wall_seconds": "time (s)",
}
POINTS = 2000  # a line keeps the extremes of this many bins, which is more than a page can show

_STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "agg.path.chunksize": 10000,
    "pdf.fonttype": 42,  # publishers refuse matplotlib's default, Type 3
    "ps.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style, without changing the user's settings of matplotlib."""
    matplotlib = need("matplotlib", "a figure")
    with matplotlib.rc_context(_STYLE), np.errstate(over="ignore", invalid="ignore"):  # for runs that have blown up
        yield


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its axes (rows, columns), with panels of ``size`` inches. It does without pyplot's state."""
    fig = need("matplotlib.figure", "a figure").Figure(figsize=(size[0] * columns, size[1] * rows))
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


def with_distinct_names(logs: Sequence[Log]) -> list[Log]:
    """Copies of the logs. If two have one name, as a/run and b/run do, all are named by their paths."""
    logs = [copy.copy(log) for log in logs]
    if len({log.name for log in logs}) < len(logs):
        for log in logs:
            log.name = str(log.path)
    return logs


def title(log: Log) -> str:
    """Return the name of a run for legends and titles: game, solver and directory."""
    asked = log.experiment
    what = ", ".join(filter(None, (name_of(asked.get("game")), name_of(asked.get("solver")))))
    return short(f"{what} ({log.name})" if what else log.name, 60)


def short(text: str, length: int = 28) -> str:
    """Return ``text`` without unprintable characters, and without its middle if it is longer than ``length``."""
    text = printable(text)
    text = text if len(text) <= length else f"{text[: length // 2]}…{text[-(length // 2 - 1) :]}"
    return text.replace("$", r"\$")  # else matplotlib would read it as a formula


def colour(i: int) -> str:
    """Return the ``i``-th colour."""
    return COLOURS[i % len(COLOURS)]


def dash(i: int) -> Any:
    """Return the ``i``-th line style."""
    return LINES[i % len(LINES)]


def marker(i: int) -> str:
    """Return the ``i``-th marker."""
    return MARKERS[i % len(MARKERS)]


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most 2 × POINTS points of a line (n,), the lowest and highest of each bin, so that spikes are kept."""
    if len(y) <= 2 * POINTS:
        return x, y
    whole = np.where(np.isfinite(y), y, -np.inf)
    keep = []
    for part in np.array_split(np.arange(len(y)), POINTS):
        keep += sorted({part[np.argmax(whole[part])], part[np.argmin(np.where(np.isfinite(y[part]), y[part], np.inf))]})
    at = np.unique([0, *keep, len(y) - 1])
    return x[at], y[at]


def line(axes: Axes, x: np.ndarray, y: np.ndarray, index: int, label: str, remark: bool = True) -> None:
    """Draw a curve (n,); of curves (n, members) the median in a band from the 10th to the 90th percentile.

    ``remark`` adds "median" to the label. It is off where one legend serves several panels.
    """
    if not len(x):
        return
    y = drawable(y)
    style: dict[str, Any] = {"color": colour(index), "linestyle": dash(index), "label": label, "zorder": 3}
    style |= {"marker": marker(index), "markersize": 4.5, "markevery": _every(len(x)), "markerfacecolor": "white"}
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        if noisy(y):
            axes.plot(*thin(x, y), color=colour(index), alpha=0.25, linewidth=0.6, zorder=2)
            x, y = _medians(x, y)
            style["label"] = f"{label}, running median" if remark else label
        x, y = thin(x, y)
        axes.plot(x, y, **(style | {"markevery": _every(len(x))}))
        return
    at = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
    x, y = x[at], np.where(np.isfinite(y[at]), y[at], np.nan)
    some = ~np.isnan(y).all(axis=1)  # there is no median at a step at which every member has diverged
    x, y = x[some], y[some]
    low, middle, high = np.nanpercentile(y, (10, 50, 90), axis=1) if len(x) else (y[:, 0],) * 3
    axes.plot(x, middle, **(style | {"label": f"{label}, median" if remark else label, "markevery": _every(len(x))}))
    axes.fill_between(
        x, low, high, color=colour(index), alpha=0.2, linewidth=0, label=f"{label}, 10–90 %" if remark else None
    )


def _medians(x: np.ndarray, y: np.ndarray, bins: int = 60) -> tuple[np.ndarray, np.ndarray]:
    parts = [p for p in np.array_split(np.arange(len(y)), bins) if np.isfinite(y[p]).any()]
    return np.array([x[p].mean() for p in parts]), np.array([np.nanmedian(y[p]) for p in parts])


def _every(n: int) -> int:
    return max(1, n // 8)


def legend_below(fig: Figure) -> None:
    """Put one legend for all panels below the panels."""
    named: dict[str, Any] = {}
    for axes in fig.axes:
        handles, labels = axes.get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True)) | named
    wide = max(map(len, named), default=0) * 0.16 + 1.2  # inches of two columns
    columns = 2 if wide < fig.get_figwidth() else 1
    fig.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns)


def empty(axes: Axes, text: str) -> None:
    """Show only ``text`` in a panel, which says why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#555555")
