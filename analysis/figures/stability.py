"""Figure: where an ensemble converged, and how fast, in the plane of two players' step sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.conditioning import radius
from ...core.stability.step_sizes import step_sizes
from ..log.log import Log
from ..measures.convergence import diverged, period_of, rates, update_eigenvalues
from .card import Card
from .style import COLOURS, new_figure, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="Convergence over two players' step sizes, from one ensemble.",
    caption=(
        "Where the members of the ensemble converged, by the step sizes of two players, and how fast. The black "
        "line is the border that the spectra of F' predict."
    ),
    needs=("step/gradient_norms",),
    suits=lambda log: axes_of(log) is not None,
)

_AWAY, _UNKNOWN = COLOURS[1], "#d0d0d0"


def axes_of(log: Log) -> tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]] | None:
    """The two players whose step sizes differ between members, each with its sizes (members,); None if not two do."""
    members = log.members
    if members is None:
        return None
    sizes = step_sizes(log.experiment, log.players)
    varying = [(i, s) for i, s in (sizes or {}).items() if s.shape == (members,) and np.ptp(s) > 0]
    return (varying[0], varying[1]) if len(varying) == 2 else None


def draw(logs: list[Log]) -> Figure:
    """Draw a panel for each run: the rate measured at each pair of step sizes, and the border where ρ(F') = 1."""
    fig, panels = new_figure(1, len(logs), (5.6, 4.6))
    for axes, log in zip(panels[0], logs, strict=True):
        if (found := axes_of(log)) is not None:
            _map(axes, fig, log, *found)
        axes.set_title(title(log))
    return fig


def _map(axes: Axes, fig: Any, log: Log, one: tuple[str, np.ndarray], other: tuple[str, np.ndarray]) -> None:
    (first, x), (second, y) = one, other
    rate = np.array([np.nan if r is None else r for r in rates(log)])
    gone = diverged(log)
    away, inside = gone | (rate > 1), ~gone & (rate <= 1)
    grid = _grid(x, y)
    kinds: tuple[tuple[np.ndarray, str, str], ...] = (
        (~away & ~inside, _UNKNOWN, "no one rate"),
        (away, _AWAY, "moves away or diverged"),
    )
    for mask, shade, label in kinds:
        if mask.any():
            _cells(axes, x, y, np.where(mask, 0.0, np.nan), grid, colour=shade)
            axes.scatter([], [], marker="s", s=60, color=shade, label=label)
    if inside.any():
        shown = _cells(axes, x, y, np.where(inside, rate, np.nan), grid)
        fig.colorbar(shown, ax=axes, label="measured rate a step (1)", shrink=0.9)
    _border(axes, log, x, y, grid)
    axes.set_xlabel(f"lr of {short(first)} (1)")
    axes.set_ylabel(f"lr of {short(second)} (1)")
    for values, name in ((x, "x"), (y, "y")):
        if values.min() > 0 and _even(np.log(np.unique(values))) and not _even(np.unique(values)):
            getattr(axes, f"set_{name}scale")("log")
        elif values.min() > 0 > getattr(axes, f"get_{name}lim")()[0]:  # a cell must not reach below 0
            getattr(axes, f"set_{name}lim")(0.0, None)
    axes.grid(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def _grid(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """If the members fill a grid: the distinct sizes (nx,) and (ny,) and each member's place in the grid; else None."""
    (xs, i), (ys, j) = np.unique(x, return_inverse=True), np.unique(y, return_inverse=True)
    full = len(xs) * len(ys) == len(x) and len({*zip(i.tolist(), j.tolist(), strict=True)}) == len(x)
    return (xs, ys, i, j) if full and min(len(xs), len(ys)) > 1 else None


def _table(values: np.ndarray, grid: tuple[np.ndarray, ...]) -> np.ndarray:
    xs, ys, i, j = grid
    table = np.full((len(ys), len(xs)), np.nan)
    table[j, i] = values
    return table


def _cells(axes: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, grid: Any, colour: str | None = None) -> Any:
    """Paint values that are not NaN, in one ``colour`` or by value: cells if the members fill a grid, else marks."""
    from matplotlib.colors import ListedColormap

    shades: dict[str, Any] = {"cmap": ListedColormap([colour]) if colour else "viridis"}
    if grid is None:
        at = np.isfinite(values)
        return axes.scatter(x[at], y[at], c=values[at], marker="s", s=26, linewidths=0, **shades)
    return axes.pcolormesh(grid[0], grid[1], np.ma.masked_invalid(_table(values, grid)), shading="nearest", **shades)


def _border(axes: Axes, log: Log, x: np.ndarray, y: np.ndarray, grid: Any) -> None:
    """Draw the border of stability that the spectra of F' predict, if they are complete: a bound gives no border."""
    update = update_eigenvalues(log)
    if update is None:
        return
    rho = np.array([float(radius(z)) for z in update]) ** (1 / period_of(log))
    if not np.isfinite(rho).all() or not rho.min() < 1 < rho.max() or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return
    style: dict[str, Any] = {"levels": [1.0], "colors": "black", "linewidths": 1.4}
    if grid is not None:
        axes.contour(grid[0], grid[1], _table(rho, grid), **style)
    elif len(x) > 3:
        axes.tricontour(x, y, rho, **style)
    axes.plot([], [], color="black", linewidth=1.4, label="predicted border: ρ(F') = 1")


def _even(values: np.ndarray) -> bool:
    gaps = np.diff(values)
    return len(gaps) > 1 and bool(np.allclose(gaps, gaps.mean(), rtol=1e-3))
