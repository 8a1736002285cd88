"""Figure: where an ensemble converged, and how fast, in the plane of two players' step sizes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.conditioning import radius
from ...core.stability.step_sizes import step_sizes
from ..drawing.card import Card
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel
from ..drawing.style import COLOURS, GREY, colour, ink
from ..log.log import Log
from ..measures.convergence import diverged, period_of, rates, update_eigenvalues

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Convergence over the step sizes of one or two players, from one ensemble.",
    caption=(
        "Where the members of the ensemble converged, by their step sizes, and how fast. The black line is what the "
        "spectra of F' predict: in a map the border ρ(F') = 1."
    ),
    needs=("step/gradient_norms",),
    wants=(
        "an ensemble whose members differ in step sizes only, as in -s 'lr.x=[0.1,0.2,0.1,0.2]' "
        "-s 'lr.y=[0.1,0.1,0.2,0.2]' --members 4"
    ),
    suits=lambda log: sizes_of(log) is not None,
)

_AWAY, _UNKNOWN = COLOURS[1], "#d0d0d0"
FEW = 12  # pairs of step sizes that do not fill a grid are named one by one up to this number


Sizes = list[tuple[str, np.ndarray]]


def sizes_of(log: Log) -> Sizes | None:
    """The names of the step sizes that differ between members, one or two, each with its values (members,); else None.

    A size that all players have in common is named "lr".
    """
    members = log.members
    if members is None:
        return None
    sizes = step_sizes(log.experiment, log.players)
    varying = [(i, s) for i, s in (sizes or {}).items() if s.shape == (members,) and np.ptp(s) > 0]
    if len(varying) == len(log.players) and all((s == varying[0][1]).all() for _, s in varying):
        return [("lr", varying[0][1])]
    return [(f"lr of {short(i)}", s) for i, s in varying] if len(varying) in (1, 2) else None


def drawing(logs: list[Shown]) -> Drawing:
    """A panel for each run: the rate measured at each step size, or at each pair of them."""
    panels = [Panel(partial(_panel, log, len(logs) > 1), (5.6, 4.6)) for log in logs]
    return Drawing(heading(logs, "Stability"), panels, 2)


def _panel(log: Shown, named: bool, axes: Axes) -> None:
    sizes = sizes_of(log) or []
    if named:
        axes.set_title(log.label)
    if len(sizes) == 2 and (_grid(sizes[0][1], sizes[1][1]) is not None or log.members is None or log.members > FEW):
        _map(axes, axes.figure, log, *sizes)
    else:
        _line(axes, log, sizes)


def _line(axes: Axes, log: Shown, sizes: Sizes) -> None:
    """The rates over one step size; of a few pairs of sizes, each pair by name."""
    rate = np.array([np.nan if r is None else r for r in rates(log)])
    x, gone = sizes[0][1], diverged(log)
    order = np.lexsort([s for _, s in reversed(sizes)])
    places = x if len(sizes) == 1 else np.argsort(order).astype(float)
    kinds = (
        (~gone & (rate <= 1), "o", colour(0), "comes nearer"),
        (gone | (rate > 1), "X", _AWAY, "moves away or diverged"),
    )
    for mask, mark, shade, label in kinds:
        axes.scatter(places[mask & ~np.isnan(rate)], rate[mask & ~np.isnan(rate)], marker=mark, color=shade, s=46,
                     zorder=3, label=label)  # fmt: skip
    if (none := np.isnan(rate)).any():
        edge = axes.get_xaxis_transform()
        axes.scatter(places[none], np.full(none.sum(), 0.03), marker="^", color=GREY, s=46, transform=edge,
                     label="no one rate")  # fmt: skip
    if (rho := _predicted(log)) is not None:
        axes.plot(places[order], rho[order], color=ink(), linewidth=1.2, marker="_", label="predicted: ρ(F')", zorder=2)
    axes.axhline(1.0, color=GREY, linewidth=0.8, zorder=1)
    seen = rate[np.isfinite(rate)]
    if len(seen) and seen.min() > 0 and seen.max() > 3 * seen.min():
        axes.set_yscale("log")
    if len(sizes) == 1:
        axes.set_xlabel(sizes[0][0])
        if x.min() > 0 and x.max() > 30 * x.min():
            axes.set_xscale("log")
    else:
        axes.set_xticks(np.arange(len(x)), [", ".join(f"{s[m]:.3g}" for _, s in sizes) for m in order])
        axes.set_xlabel(", ".join(name for name, _ in sizes))
        axes.set_xlim(-0.5, len(x) - 0.5)
    axes.set_ylabel("measured rate a step")


def _map(axes: Axes, fig: Any, log: Shown, one: tuple[str, np.ndarray], other: tuple[str, np.ndarray]) -> None:
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
        fig.colorbar(shown, ax=axes, label="measured rate a step", shrink=0.9)
    _border(axes, log, x, y, grid)
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    for values, name in ((x, "x"), (y, "y")):
        if values.min() > 0 and _even(np.log(np.unique(values))) and not _even(np.unique(values)):
            getattr(axes, f"set_{name}scale")("log")
        elif values.min() > 0 > getattr(axes, f"get_{name}lim")()[0]:  # a cell must not reach below 0
            getattr(axes, f"set_{name}lim")(0.0, None)
    axes.grid(False)


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
        side = min(max(3000 / len(x), 16), 120)
        return axes.scatter(x[at], y[at], c=values[at], marker="s", s=side, linewidths=0, **shades)
    return axes.pcolormesh(grid[0], grid[1], np.ma.masked_invalid(_table(values, grid)), shading="nearest", **shades)


def _border(axes: Axes, log: Shown, x: np.ndarray, y: np.ndarray, grid: Any) -> None:
    """Draw the border of stability that the spectra of F' predict, if they are complete: a bound gives no border."""
    rho = _predicted(log)
    if (
        rho is None
        or not np.isfinite(rho).all()
        or not rho.min() < 1 < rho.max()
        or len(np.unique(x)) < 2
        or len(np.unique(y)) < 2
    ):
        return
    style: dict[str, Any] = {"levels": [1.0], "colors": ink(), "linewidths": 1.4}
    if grid is not None:
        axes.contour(grid[0], grid[1], _table(rho, grid), **style)
    elif len(x) > 3:
        axes.tricontour(x, y, rho, **style)
    axes.plot([], [], color=ink(), linewidth=1.4, label="predicted border: ρ(F') = 1")


def _predicted(log: Shown) -> np.ndarray | None:
    """ρ(F') of each member, of one step; None where not all of each spectrum is known."""
    update = update_eigenvalues(log)
    return None if update is None else np.array([float(radius(z)) for z in update]) ** (1 / period_of(log))


def _even(values: np.ndarray) -> bool:
    gaps = np.diff(values)
    return len(gaps) > 1 and bool(np.allclose(gaps, gaps.mean(), rtol=1e-3))
