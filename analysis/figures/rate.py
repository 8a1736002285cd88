"""Figure: the measured rate of convergence against the rate that the last spectrum predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.number_format import rate_text
from ..log.log import Log
from ..measures.convergence import fits, gradient_sizes, period_of
from ..measures.log_verdict import meaning, number
from .card import Card
from .scales import BEYOND, scale
from .style import colour, dash, legend_below, line, marker, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="Measured convergence against the rate that the spectrum of F' predicts.",
    caption=(
        "The norm of v over the steps; the rate measured over the last half of the steps, without those that "
        "rounding spoils; and the rate that the last spectrum of the update map F predicts: ρ(F'), or its k-th root "
        "where F' is the derivative of k steps. For an ensemble: a point for each member."
    ),
    needs=("spectrum/update_eigenvalues",),
    suits=lambda log: "step/gradient_norms" in log and log.length("step") > 1,
)


_POINTS = 100  # points of a line of constant rate, which is curved on an axis that is not logarithmic


def draw(logs: list[Log]) -> Figure:
    """One run: ‖v‖ over the steps, with both slopes. Several runs or members: a point for each, beside the diagonal."""
    if len(logs) == 1 and logs[0].members is None:
        fig, panels = new_figure(1, 1, (6.8, 3.6))
        _slopes(panels[0, 0], logs[0])
        fig.suptitle(title(logs[0]), fontsize=10.5)
        return fig
    fig, panels = new_figure(1, 1, (5.4, 4.8))
    _diagonal(panels[0, 0], logs)
    fig.suptitle(title(logs[0]) if len(logs) == 1 else "Convergence rates", fontsize=10.5)
    if panels[0, 0].get_legend_handles_labels()[1]:
        legend_below(fig)
    return fig


def _slopes(axes: Axes, log: Log) -> None:
    facts, sizes = meaning(log), gradient_sizes(log)
    if facts is None or sizes is None:
        return
    steps, size, floor = sizes[0], sizes[1][:, 0], sizes[2][:, 0]
    line(axes, steps, size, 0, "‖v‖")
    found = fits(log)[0]
    good = np.flatnonzero((size < BEYOND) & (size > floor))
    ends = steps[good[[0, -1]]].astype(float) if len(good) else np.zeros(2)
    if not isinstance(found, str):
        slope, height, window = found
        ends = window[[0, -1]]
        x = np.linspace(ends[0], ends[1], _POINTS)
        label = f"measured {rate_text(float(np.exp(slope)))} a step"
        axes.plot(x, np.exp(height + slope * x), color=colour(1), linewidth=2.6, alpha=0.75, label=label, zorder=5)
        middle, level = float(window.mean()), height + slope * float(window.mean())
    elif len(good):  # no rate was measured: the predicted line starts at the first point
        middle, level = float(steps[good[0]]), float(np.log(size[good[0]]))
    rho = facts.get("predicted_rate")
    if rho is not None and np.isfinite(rho) and rho > 0 and len(good):
        x = np.linspace(ends[0], ends[1], _POINTS)
        y = level + np.log(rho) * (x - middle)
        inside = np.abs(y) < np.log(BEYOND)
        label = f"predicted {_rho(period_of(log))} {'= ' * ('predicted_rate' not in facts['bounds'])}"
        label += f"{number(facts, 'predicted_rate')} a step"
        axes.plot(x[inside], np.exp(y[inside]), color=colour(6), linestyle=(0, (4, 2)), label=label, zorder=6)
    scale(axes, size, positive=True)
    axes.set_xlabel("step")
    axes.set_ylabel("gradient norm of all players, ‖v‖")
    axes.legend(loc="best", title=f"no rate measured:\n{found}" if isinstance(found, str) else None)


def _rho(period: int | str) -> str:
    """The rate of one step in symbols, where F' is the derivative of ``period`` steps."""
    return "ρ(F')" if period == 1 else f"ρ(F')^(1/{period})"


def _diagonal(axes: Axes, logs: list[Log]) -> None:
    shown: list[np.ndarray] = []
    for i, log in enumerate(logs):
        facts = meaning(log)
        if facts is None:
            continue
        pairs = np.array([facts.get("predicted_rate"), facts["measured_rate"]], dtype=float).reshape(2, -1)
        known = np.isfinite(pairs).all(axis=0)
        label = title(log) if len(logs) > 1 else f"{known.sum()} of {pairs.shape[1]} members"
        bounds = facts["bounds"] if isinstance(facts["bounds"], list) else [facts["bounds"]]
        partly = any("predicted_rate" in one for one in bounds)
        label += ", predicted at least" if partly else ""
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour(i), "s": 30, "zorder": 3}
        if known.any():
            axes.scatter(*pairs[:, known], marker=marker(i), label=label, **style)
            shown.append(pairs[:, known].ravel())
        elif np.isfinite(pairs[0]).any():
            middle = float(np.nanmedian(pairs[0]))
            label = f"predicted{' at least' * partly}, none measured" if len(logs) == 1 else f"{label}: none measured"
            axes.axvline(middle, color=colour(i), linestyle=dash(i), linewidth=1.2, label=label)
            shown.append(np.array([middle]))
    both = np.concatenate(shown) if shown else np.ones(1)
    low, high = float(both.min()), float(both.max())
    margin = max(0.06 * (high - low), 1e-4)
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color="#777777", linewidth=0.9, zorder=1, label="as predicted")
    if ends[0] < 1 < ends[1]:
        axes.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=1)
        axes.axhline(1, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    periods = {period_of(log) for log in logs}
    axes.set_xlabel(f"predicted rate a step, {_rho(periods.pop() if len(periods) == 1 else 'period')} (1)")
    axes.set_ylabel("measured rate a step (1)")
