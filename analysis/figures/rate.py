"""Figure: the measured rate of convergence against the rate that the last spectrum predicts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.number_format import rate_text
from ..drawing.card import Card
from ..drawing.curves import line
from ..drawing.names import Shown, heading
from ..drawing.page import Drawing, Panel
from ..drawing.scales import BEYOND, scale
from ..drawing.style import GREY, colour, marker
from ..measures.convergence import fits, gradient_sizes, period_of
from ..measures.log_verdict import meaning, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Measured convergence against the rate that the spectrum of F' predicts.",
    caption=(
        "The norm of v over the steps; the rate measured over the last half of the steps, without those that "
        "rounding spoils; and the rate that the last spectrum of the update map F predicts: ρ(F'), or its k-th root "
        "where F' is the derivative of k steps. For an ensemble: a point for each member; triangles at the lower edge "
        "are predictions of runs whose rate could not be measured."
    ),
    needs=("spectrum/update_eigenvalues",),
    wants="gradient norms and spectra of F', which a run records with --spectrum-every N",
    suits=lambda log: "step/gradient_norms" in log and log.length("step") > 1,
)


_POINTS = 100  # points of a line of constant rate, which is curved on an axis that is not logarithmic


def drawing(logs: list[Shown]) -> Drawing:
    """One run: ‖v‖ over the steps, with both slopes. Several runs or members: a point for each, beside the diagonal."""
    if len(logs) == 1 and logs[0].members is None:
        return Drawing(heading(logs, ""), [Panel(partial(_slopes, logs[0]), (6.8, 3.6), "inside")])
    return Drawing(heading(logs, "Rates"), [Panel(partial(_diagonal, logs), (5.4, 4.8))], shared_legend=True)


def _slopes(log: Shown, axes: Axes) -> None:
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
    axes.set_yscale("log")
    scale(axes, [size], positive=True, cut=True)  # lines of rates may leave the view
    axes.set_xlabel("step")
    axes.set_ylabel("gradient norm of all players ‖v‖")
    if isinstance(found, str):
        axes.set_title(f"no rate measured: {found}", fontsize="small")


def _rho(period: int | str) -> str:
    """The rate of one step in symbols, where F' is the derivative of ``period`` steps."""
    return "ρ(F')" if period == 1 else f"ρ(F')^(1/{period})"


def _diagonal(logs: list[Shown], axes: Axes) -> None:
    shown, alone = list[np.ndarray](), list[tuple[int, np.ndarray]]()
    for i, log in enumerate(logs):
        facts = meaning(log)
        if facts is None:
            continue
        pairs = np.array([facts.get("predicted_rate"), facts["measured_rate"]], dtype=float).reshape(2, -1)
        known = np.isfinite(pairs).all(axis=0)
        label = log.label if len(logs) > 1 else f"{known.sum()} of {pairs.shape[1]} members"
        bounds = facts["bounds"] if isinstance(facts["bounds"], list) else [facts["bounds"]]
        partly = any("predicted_rate" in one for one in bounds)
        label += ", predicted at least" if partly else ""
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour(i), "s": 34, "zorder": 3}
        if known.any():
            axes.scatter(*pairs[:, known], marker=marker(i), label=label, **style)
            shown.append(pairs[:, known].ravel())
        if (rest := np.isfinite(pairs[0]) & ~known).any():
            alone.append((i, pairs[0][rest]))
    every = np.concatenate([*shown, *(x for _, x in alone)]) if shown or alone else np.ones(1)
    low, high = float(every.min()), float(every.max())
    if low > 0 and high > 2 * low:  # of runs that diverged
        axes.set_xscale("log")
        axes.set_yscale("log")
        ends = (low * (low / high) ** 0.06, high * (high / low) ** 0.06)
    else:
        margin = max(0.06 * (high - low), 2e-3)
        ends = (low - margin, high + margin)
        axes.locator_params(nbins=5)
    axes.plot(ends, ends, color=GREY, linewidth=0.9, zorder=1, label="as predicted")
    edge = axes.get_xaxis_transform()
    for i, x in alone:  # on the lower edge
        name = f"{logs[i].label}: none measured" if len(logs) > 1 else f"{len(x)} with no rate measured"
        axes.scatter(x, np.full(len(x), 0.02), marker="^", s=34, color=colour(i), label=name, zorder=3, transform=edge)
    if ends[0] < 1 < ends[1]:
        axes.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=1)
        axes.axhline(1, color="#bbbbbb", linewidth=0.8, zorder=1)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    periods = {period_of(log) for log in logs}
    axes.set_xlabel(f"predicted rate a step, {_rho(periods.pop() if len(periods) == 1 else 'period')}")
    axes.set_ylabel("measured rate a step")
