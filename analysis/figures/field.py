"""Figure: the field in the plane of a two-parameter game, with the paths through it.

For one run the arrows are −v, which the run recorded around its path. For an ensemble they are the steps of its solver:
means of the recorded steps θ_{k+1} − θ_k over cells of the plane, without an arrow in cells that no path visits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.log.plane_grid import CELLS, window
from ..drawing.card import Card
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel
from ..drawing.scales import drawable
from ..drawing.style import colour, dash
from ..measures.recorded_spectra import last

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="The field of a two-parameter game, and the paths through it.",
    caption=(
        "The paths, and −v, the direction of gradient descent, as arrows of one length whose colour tells the "
        "length of v. For an ensemble the arrows are the mean of the steps taken in each cell of the plane; where "
        "no path went there is none."
    ),
    needs=("step/parameters",),
    wants="the parameters of a game of two, of at least two steps",
    suits=lambda log: log.shape("step/parameters")[-1] == 2 and log.length("step") > 1,
)

_PATHS = 48  # most members whose path is drawn
_POINTS = 4000  # most points of a path


def drawing(logs: list[Shown]) -> Drawing:
    """A panel for each run."""
    size = (5.2, 4.8) if len(logs) < 3 else (4.1, 3.9)
    panels = [Panel(partial(_panel, log, len(logs) > 1), size, "below" if len(logs) < 3 else "none") for log in logs]
    return Drawing(heading(logs, "Fields"), panels, 3)


def mean_steps(steps: np.ndarray, path: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean points (cells, 2) and mean steps (cells, 2) of paths (steps, members, 2), for each cell that they visit.

    ``corners`` (2, 2) are the lower left and the upper right corner of the window. Points outside of it, and points and
    steps that are not finite, are left out.
    """
    moves = np.diff(path, axis=0) / np.diff(steps)[:, None, None]  # (steps - 1, members, 2)
    at, moves = path[:-1].reshape(-1, 2), moves.reshape(-1, 2)
    inside = np.isfinite(at).all(1) & np.isfinite(moves).all(1) & (at >= corners[0]).all(1) & (at <= corners[1]).all(1)
    at, moves = at[inside], moves[inside]
    cell = np.minimum((CELLS * (at - corners[0]) / (corners[1] - corners[0])).astype(int), CELLS - 1)
    _, which, count = np.unique(cell[:, 0] * CELLS + cell[:, 1], return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), 4))
    np.add.at(sums, which, np.concatenate([at, moves], axis=1))
    means = sums / count[:, None]
    return means[:, :2], means[:, 2:]


def _panel(log: Shown, named: bool, axes: Axes) -> None:
    path = log["step/parameters"]
    path = path.reshape(len(path), -1, 2)  # (steps, members, 2)
    fig, names = axes.figure, log.labels("parameter") or ("0", "1")
    axes.set_xlabel(short(names[0], 60))
    axes.set_ylabel(short(names[1], 60))
    if named:
        axes.set_title(log.label)
    corners, members = window(path), path.shape[1]
    shown = np.unique(np.linspace(0, members - 1, min(members, _PATHS)).astype(int))
    plane, field = last(log, "samples/plane"), last(log, "samples/field")
    around = None if members > 1 or plane is None or field is None else (plane, field)
    style: dict[str, Any] = {"linewidth": 1.2 if around else 0.7, "alpha": 1.0 if around else 0.45}
    style |= {"color": colour(1 if around else 0), "linestyle": dash(0), "zorder": 5 if around else 2}
    for m in shown:
        thinned = drawable(path[:: max(1, len(path) // _POINTS), m])
        name = "path" if members == 1 else f"{len(shown)} of {members} paths"
        axes.plot(*thinned.T, label=name if m == 0 else None, **style)
    axes.plot(*drawable(path[0, shown]).T, color=style["color"], marker="o", markersize=4.5, markerfacecolor="white",
              linestyle="none", label="start", zorder=6)  # fmt: skip
    if around:
        plane, field = around
        _arrows(axes, fig, plane.reshape(-1, 2), -field.reshape(-1, 2), "length of −v")
    else:
        _arrows(axes, fig, *mean_steps(log["step/step"], path, corners), "length of the step")
    margin = 0.03 * (corners[1] - corners[0])
    axes.set_xlim(corners[0, 0] - margin[0], corners[1, 0] + margin[0])
    axes.set_ylim(corners[0, 1] - margin[1], corners[1, 1] + margin[1])


def _arrows(axes: Axes, fig: Any, at: np.ndarray, moves: np.ndarray, label: str) -> None:
    """Draw arrows of one length at points (n, 2), coloured by the length of ``moves`` (n, 2).

    There is no arrow where that length is 0 or too large to be drawn.
    """
    from matplotlib.colors import LogNorm, Normalize

    length = drawable(np.hypot(*moves.T))
    moving = (length > 0) & np.isfinite(at).all(axis=1)
    if not moving.any():
        return
    at, moves, length = at[moving], moves[moving], length[moving]
    wide = length.max() > 30 * length.min()
    least = max(length.min(), 1e-6 * length.max())
    norm: Any = LogNorm(least, length.max()) if wide else Normalize(least, length.max())
    arrows = axes.quiver(
        *at.T, *(moves / length[:, None]).T, length, cmap="viridis", norm=norm, angles="xy", scale=CELLS * 1.2,
        width=0.0045, zorder=4,
    )  # fmt: skip
    fig.colorbar(arrows, ax=axes, label=label, shrink=0.9)
