"""Figure: the path of the parameters in a plane, or the norms of the parameters if no plane was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.log.plane_grid import window
from ..drawing.card import Card
from ..drawing.curves import KEY, line, thin, together
from ..drawing.groups import Group, groups
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel
from ..drawing.scales import drawable, scale
from ..drawing.style import colour, dash
from ..measures.convergence import diverged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Path of the parameters.",
    caption=(
        "Path of the parameters, from the open circle to the filled mark. Paths of networks begin at 0. The view is "
        "that of the paths that did not diverge. Of paths that grew a thousandfold distances from the centre are "
        "logarithmic, and rings tell them. Where no plane was recorded: the norms of the players' parameters."
    ),
    needs=("step/parameters", "step/projection", "step/parameter_norms"),
    wants="the parameters of at least one step",
    options=("each",),
)

_PATHS = 32  # most members whose path is drawn
_MARKS = ("start", "end", "end, diverged")
_GROWN = 1e3  # a path that grows by more is drawn with logarithmic radii
_INNER = 0.12  # of the outermost radius: a ring within would leave its number no room
_TURN = 0.1  # radians: a straight step on a logarithmic radius is drawn by points at least so close


def drawing(logs: list[Shown], each: bool = False) -> Drawing:
    """Draw all runs in one plane if they share it, else each in a panel of its own."""
    planes = [plane(log) for log in logs]
    if any(p is None for p in planes):
        return _norms(logs, each)
    paths = [p for p in planes if p is not None]
    together = len({(x, y) for _, x, y in paths}) == 1 and all("principal" not in x for _, x, _ in paths)
    sets = [list(zip(logs, paths, strict=True))] if together else [[one] for one in zip(logs, paths, strict=True)]
    panels = [Panel(partial(_panel, runs, not together and len(logs) > 1), (5.4, 4.6)) for runs in sets]
    return Drawing(heading(logs, "Paths"), panels, 1 if together else 3)


def plane(log: Shown) -> tuple[np.ndarray, str, str] | None:
    """Return the path (steps, members, 2) and the names of the plane's axes; None where none was recorded.

    Two parameters are shown as they are, a recorded projection as the distance from where the path began. Of more
    parameters, the two principal directions of the path are shown.
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
    if "step/parameters" not in log:
        named = names or ("0", "1")
        first, second = (f"θ − θ(start) on direction {name}" for name in named[:2])
        return path[..., :2] - path[:1, :, :2], first, second
    if path.shape[-1] == 2:
        named = names or ("0", "1")
        return path, named[0], named[1]
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


def _panel(runs: Sequence[tuple[Shown, tuple[np.ndarray, str, str]]], named: bool, axes: Axes) -> None:
    kept, every = [], []
    for log, (points, _, _) in runs:
        points = drawable(points)
        stays = ~diverged(log) & (not log.failed)
        every.append(points)
        kept += [points[:, stays]] if stays.any() else []
    seen = kept or every
    spans = [_sizes(points) for points in seen]
    sizes = np.concatenate(spans)
    begun = np.concatenate([_sizes(points[:1]) for points in seen])
    if not len(begun):  # all begin at the centre
        begun = np.array([np.median(sizes)]) if len(sizes) else np.ones(1)
    least = float(np.median(begun))
    grown = len(sizes) > 0 and float(sizes.max()) > _GROWN * least
    for i, (log, (points, x, y)) in enumerate(runs):
        label = log.label if len(runs) > 1 else "path"
        _path(axes, log, points, i if len(runs) > 1 else 0, label, least if grown else None)
        axes.set_xlabel(short(x, 60))
        axes.set_ylabel(short(y, 60))
    if grown:
        _rings(axes, least, float(sizes.max()), _centre(runs[0][0]))
    else:
        _view(axes, seen, cut=len(kept) > 0 and sum(p.shape[1] for p in kept) < sum(p.shape[1] for p in every))
        if _centre(runs[0][0]) == "0":
            _cross(axes)
    if named:
        axes.set_title(runs[0][0].label)


def _centre(log: Shown) -> str:
    """What lies at the point (0, 0) of the plane."""
    if "step/parameters" not in log:
        return "the start"
    return "0" if log.shape("step/parameters")[-1] == 2 else "the mean of the path"


def _sizes(points: np.ndarray) -> np.ndarray:
    """The distances from the centre that are not 0."""
    with np.errstate(over="ignore"):
        size = np.hypot(points[..., 0], points[..., 1]).ravel()
    return size[np.isfinite(size) & (size > 0)]


def _path(axes: Axes, log: Shown, points: np.ndarray, index: int, label: str, least: float | None) -> None:
    members, gone = points.shape[1], diverged(log)
    for m in range(min(members, _PATHS)):
        x, y = drawable(points[:, m, 0]), drawable(points[:, m, 1])
        good = np.isfinite(x) & np.isfinite(y)
        x, y = x[good], y[good]
        if not len(x):
            continue
        at = _thinned(x, y)
        shade = colour(index) if members == 1 or index else colour(m)
        curve, ends = (x[at], y[at]), (x[[0, -1]], y[[0, -1]])
        if least is not None:
            curve, ends = shrunk(*_filled(*curve), least), shrunk(*ends, least)
        name = label if members == 1 else f"{label}, {min(members, _PATHS)} of {members} members"
        axes.plot(
            *curve, color=shade, linestyle=dash(index), linewidth=0.8 if least else 1.1, label=name if m == 0 else None
        )
        failed = log.failed or bool(gone[m])
        edge: dict[str, Any] = {"color": shade, "linestyle": "none", "zorder": 4, "markersize": 7}
        end = _MARKS[2] if failed else _MARKS[1]
        edge["gid"] = KEY
        axes.plot(ends[0][:1], ends[1][:1], marker="o", markerfacecolor="white", label=_once(axes, _MARKS[0]), **edge)
        axes.plot(ends[0][1:], ends[1][1:], marker="X" if failed else "s", label=_once(axes, end), **edge)


def _once(axes: Axes, label: str) -> str | None:
    """``label`` if the legend does not have it yet, so that it names start and end once."""
    return None if label in axes.get_legend_handles_labels()[1] else label


def _thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = len(x)
    steps = np.arange(n)
    return np.union1d(thin(steps, x)[0], thin(steps, y)[0])


def shrunk(x: np.ndarray, y: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Points at the same angles, with radii r in the place of log10(1 + r / least)."""
    size = np.hypot(x, y)
    factor = np.log10(1 + size / least) / np.where(size > 0, size, 1.0)
    return x * factor, y * factor


def _filled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points along the straight steps between points, so that a step is straight in angle and log radius too."""
    angle, size = np.unwrap(np.arctan2(y, x)), np.hypot(x, y)
    count = np.maximum(1, np.ceil(np.abs(np.diff(angle)) / _TURN)).astype(int)
    if count.sum() > 100_000:
        return x, y
    at = np.concatenate([[0.0], *(i + np.arange(1, n + 1) / n for i, n in enumerate(count))])
    places = np.arange(len(x))
    angle = np.interp(at, places, angle)
    size = np.exp(np.interp(at, places, np.log(np.maximum(size, 1e-300))))
    return size * np.cos(angle), size * np.sin(angle)


def _rings(axes: Axes, least: float, most: float, centre: str) -> None:
    """Rings at powers of ten. The numbers at the axes are those of the rings, which touch the lines through them."""
    first, last = int(np.ceil(np.log10(least))), int(np.floor(np.log10(most)))
    turn = np.linspace(0, 2 * np.pi, 181)
    places, texts = [0.0], ["0"]
    for power in range(last, first - 1, -max(1, -(-(last - first) // 2))):
        radius = float(np.log10(1 + 10.0**power / least))
        if radius < _INNER * np.log10(1 + most / least):
            break
        edge = axes.spines["left"].get_edgecolor()
        axes.plot(radius * np.cos(turn), radius * np.sin(turn), color=edge, linewidth=0.8, alpha=0.7, zorder=3.5)
        places += [-radius, radius]
        texts += [f"$10^{{{power}}}$"] * 2
    reach = 1.06 * float(np.log10(1 + most / least))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xticks(places, texts)
    axes.set_yticks(places, texts)
    axes.set_xlabel(f"{axes.get_xlabel()}\nrings: distance from {centre}, logarithmic")


def _view(axes: Axes, seen: Sequence[np.ndarray], cut: bool) -> None:
    """The window on the paths that count."""
    if cut or any(len(s := _sizes(p)) and s.max() > 1e4 * np.median(s) for p in seen):
        corners = window(np.concatenate([points.reshape(-1, 1, 2) for points in seen]))
        margin = 0.05 * (corners[1] - corners[0])
        axes.set_xlim(corners[0, 0] - margin[0], corners[1, 0] + margin[0])
        axes.set_ylim(corners[0, 1] - margin[1], corners[1, 1] + margin[1])
    axes.locator_params(axis="x", nbins=6)  # labels with many digits would overlap


def _cross(axes: Axes) -> None:
    """Lines through the origin, if it is in view: else the view would have to include it, and a path be a dot."""
    for (low, high), zero in ((axes.get_ylim(), axes.axhline), (axes.get_xlim(), axes.axvline)):
        if low < 0 < high:
            zero(0, color="#999999", linewidth=0.7, zorder=1)


def _norms(logs: list[Shown], each: bool) -> Drawing:
    players = list(dict.fromkeys(p for log in logs for p in log.players))
    title = heading(logs, "Parameter norms")
    if len(logs) == 1:
        return Drawing(title, [Panel(partial(_norm_panel, groups(logs), players, True), (6.4, 3.6), "inside")])
    runs = groups(logs, each)
    panels = [Panel(partial(_norm_panel, runs, [player], False), (4.6, 3.2)) for player in players]
    return Drawing(title, panels, 2, shared_legend=True)


def _norm_panel(runs: Sequence[Group], players: Sequence[str], alone: bool, axes: Axes) -> None:
    drawn = []
    for run in runs:
        for i, player in enumerate(players):
            own = [log for log in run.logs if player in log.players]
            if own:
                curves = [(log["step/step"], log["step/parameter_norms"][..., log.players.index(player)])
                          for log in own]  # fmt: skip
                x, y = together(curves) if len(curves) > 1 else curves[0]
                drawn.append((run.failed, y))
                line(axes, x, y, i if alone else run.index, short(player) if alone else run.label, run.of)
    kept = [y for failed, y in drawn if not failed]
    scale(axes, kept or [y for _, y in drawn], positive=True, cut=0 < len(kept) < len(drawn))
    axes.set_xlabel("step")
    axes.set_ylabel("parameter norm ‖θ‖" if alone else f"parameter norm of {short(players[0], 16)}")
