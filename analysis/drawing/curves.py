"""Curves: one for a run, a median in a band for an ensemble or for the seeds of one experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.rate import noisy
from .scales import drawable
from .style import colour, dash, ink, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 2000  # a line keeps the extremes of this many bins, which is more than a page can show
KEY = "key"  # gid of what explains a mark: in a legend it comes after what is drawn
EVERY, MEDIAN, BAND = "every step", "running median", "10–90 %"
Curve = tuple[np.ndarray, np.ndarray]  # x (n,) and y (n,) or (n, members)


def thin(x: np.ndarray, y: np.ndarray) -> Curve:
    """Return at most 2 × POINTS points of a line (n,), the lowest and highest of each bin, so that spikes are kept."""
    if len(y) <= 2 * POINTS:
        return x, y
    whole = np.where(np.isfinite(y), y, -np.inf)
    keep = []
    for part in np.array_split(np.arange(len(y)), POINTS):
        keep += sorted({part[np.argmax(whole[part])], part[np.argmin(np.where(np.isfinite(y[part]), y[part], np.inf))]})
    at = np.unique([0, *keep, len(y) - 1])
    return x[at], y[at]


def line(axes: Axes, x: np.ndarray, y: np.ndarray, index: int, label: str, of: str = "members") -> None:
    """Draw a curve (n,); of curves (n, members) the median in a band from the 10th to the 90th percentile.

    What is pale, what is a median, and ``of`` what a band is, is explained once in the legend of the panel.
    """
    if not len(x):
        return
    y = drawable(y)
    style: dict[str, Any] = {"color": colour(index), "linestyle": dash(index), "label": label, "zorder": 3}
    style |= {"marker": marker(index), "markersize": 4.5, "markerfacecolor": "white"}
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        if noisy(y):
            axes.plot(*thin(x, y), color=colour(index), alpha=0.25, linewidth=0.6, zorder=2)
            x, y = _medians(x, y)
            _explain(axes, EVERY, alpha=0.4, linewidth=0.8)
            _explain(axes, MEDIAN)
        x, y = thin(x, y)
        axes.plot(x, y, **style, markevery=_marks(len(x), index))
        return
    at = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
    x, y, count = x[at], np.where(np.isfinite(y[at]), y[at], np.nan), y.shape[1]
    some = ~np.isnan(y).all(axis=1)  # there is no median at a step at which every member has diverged
    x, y = x[some], y[some]
    low, middle, high = np.nanpercentile(y, (10, 50, 90), axis=1) if len(x) else (y[:, 0],) * 3
    axes.plot(x, middle, **style, markevery=_marks(len(x), index))
    axes.fill_between(x, low, high, color=colour(index), alpha=0.2, linewidth=0)
    _explain(axes, f"median of {count} {of}")
    _explain(axes, f"{BAND} of {of}", linewidth=6, alpha=0.3)


def together(curves: Sequence[Curve]) -> Curve:
    """Curves (n_i,) or (n_i, members) as one (n, all members) on one axis, linear between points, NaN beyond an end."""
    xs = [np.asarray(x, dtype=float) for x, _ in curves]
    x = np.unique(np.concatenate(xs))
    if len(x) > POINTS:
        x = np.linspace(x[0], x[-1], POINTS)
    columns = []
    for own, (_, y) in zip(xs, curves, strict=True):
        keep = np.flatnonzero(np.diff(own, append=np.inf) > 0)  # of rows with one x the last
        for column in np.asarray(y, dtype=float).reshape(len(own), -1).T:
            columns.append(np.interp(x, own[keep], column[keep], left=np.nan, right=np.nan))
    return x, np.stack(columns, axis=1)


def _explain(axes: Axes, label: str, **style: Any) -> None:
    """An entry of the legend that belongs to no run, once in a panel."""
    if label not in axes.get_legend_handles_labels()[1]:
        axes.plot([], [], **{"color": ink(), "alpha": 0.7, "linewidth": 1.4, "label": label, "gid": KEY, **style})


def _medians(x: np.ndarray, y: np.ndarray, bins: int = 60) -> Curve:
    parts = [p for p in np.array_split(np.arange(len(y)), bins) if np.isfinite(y[p]).any()]
    return np.array([x[p].mean() for p in parts]), np.array([np.nanmedian(y[p]) for p in parts])


def _marks(n: int, index: int) -> tuple[int, int]:
    """Where a curve has its markers: eight of them, at other places than those of the next curve."""
    every = max(1, n // 8)
    return (index * every // 5) % every, every
