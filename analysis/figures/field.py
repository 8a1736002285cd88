"""Figure: the field in the plane of a two-parameter game, with the paths through it.

Of one run the arrows are −v, which the run recorded all around its path. Of an ensemble they are what its solver made
of it: means of recorded steps θ_{k+1} − θ_k over cells of the plane, none where nobody came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.log.plane_grid import CELLS, window
from ..log.log import Log
from ..measures.recorded_spectra import last
from .card import Card
from .scales import drawable
from .style import colour, dash, figure, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="The field of a two-parameter game, and the paths through it.",
    caption=(
        "The paths, and −v, the direction of gradient descent, as arrows of one length whose colour tells the "
        "length of v. For an ensemble the arrows are the mean of the steps taken in each cell of the plane; where "
        "no path went there is none."
    ),
    needs=("step/parameters",),
    suits=lambda log: log.shape("step/parameters")[-1] == 2 and log.length("step") > 1,
)

_PATHS = 48  # members whose path is drawn
_POINTS = 4000  # of a path


def draw(logs: list[Log]) -> Figure:
    """A panel for each run."""
    made, panels = figure(1, len(logs), (5.2, 4.8))
    for axes, log in zip(panels[0], logs, strict=True):
        path = log["step/parameters"]
        path = path.reshape(len(path), -1, 2)  # (steps, members, 2)
        names = log.labels("parameter") or ("0", "1")
        _panel(axes, made, log, path)
        axes.set_xlabel(short(names[0], 60))
        axes.set_ylabel(short(names[1], 60))
        axes.set_title(title(log))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
    return made


def mean_steps(steps: np.ndarray, path: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean places (cells, 2) and mean steps (cells, 2) of paths (steps, members, 2), over the cells they visit.

    ``corners`` are (2, 2), the least and the greatest corner. What leaves it, or is not finite, is left out.
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


def _panel(axes: Axes, made: Any, log: Log, path: np.ndarray) -> None:
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
        _arrows(axes, made, plane.reshape(-1, 2), -field.reshape(-1, 2), "length of −v (1)")
    else:
        _arrows(axes, made, *mean_steps(log["step/step"], path, corners), "length of the step (1)")
    margin = 0.03 * (corners[1] - corners[0])
    axes.set_xlim(corners[0, 0] - margin[0], corners[1, 0] + margin[0])
    axes.set_ylim(corners[0, 1] - margin[1], corners[1, 1] + margin[1])


def _arrows(axes: Axes, made: Any, at: np.ndarray, moves: np.ndarray, label: str) -> None:
    """Arrows of one length at places (n, 2), coloured by that of ``moves`` (n, 2); none where it is 0 or too large."""
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
    made.colorbar(arrows, ax=axes, label=label, shrink=0.9)
