"""How spectra change over the steps: what decides, as a curve for each kind of eigenvalues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.certainty import whole
from ..drawing.names import Shown, short
from ..drawing.scales import scale
from ..drawing.style import GREY, colour, dash, marker
from ..measures.recorded_spectra import spectra

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def course(log: Shown, kind: str, sign: float, axes: Axes) -> None:
    """Over the steps: Re λ(J) of all eigenvalues, the least Re λ of each player's block, or |λ(F')| of all."""
    steps = log["spectrum/step"]
    values, sure = _recorded(log, kind)
    known = spectra(log) or []
    if kind == "block_eigenvalues":
        _blocks(log, steps, sign * values, sure, axes)
    elif kind == "update_eigenvalues":
        part = "" if whole([one.update for one in known if one.update is not None]) else " of those found"
        if "spectrum/update_far_eigenvalues" in log:
            pair = zip((values, sure), _recorded(log, "update_far_eigenvalues"), strict=True)
            values, sure = (np.concatenate([one, far], axis=-1) for one, far in pair)
        _all(steps, np.abs(values), sure, f"largest{part}", 1.0, axes)
        axes.axhline(1.0, color=GREY, linewidth=0.9, zorder=1)
        axes.set_ylabel("|λ(F')|")
    else:
        part = "" if whole([one.J for one in known]) else " of those found"
        _all(steps, sign * values.real, sure, ("least" if sign > 0 else "largest") + part, -sign, axes)
        axes.axhline(0.0, color=GREY, linewidth=0.9, zorder=1)
        axes.set_ylabel(f"Re λ({'J' if sign > 0 else '−J'})")
    axes.set_xlabel("step")


def _recorded(log: Shown, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (k, …) and whether each has converged (k, …)."""
    values = log[f"spectrum/{kind}"]
    sure = np.isfinite(values)
    if (status := f"spectrum/{kind.removesuffix('eigenvalues')}status") in log:
        sure &= log[status].reshape(*log[status].shape, *(1,) * (values.ndim - log[status].ndim)) == 0
    return values, sure


def _all(steps: np.ndarray, values: np.ndarray, sure: np.ndarray, label: str, side: float, axes: Axes) -> None:
    """All eigenvalues as points, and as a line the largest that converged, for ``side`` −1 the least."""
    flat = np.where(np.isfinite(values), values, np.nan).reshape(len(steps), -1)
    when = np.broadcast_to(steps[:, None], flat.shape)
    axes.scatter(when, flat, s=11, color=colour(1), linewidths=0, label="all recorded", zorder=4)  # over the marks
    best = np.where(sure, side * np.nan_to_num(values, nan=-np.inf), -np.inf).reshape(len(steps), -1).max(axis=1)
    some = np.isfinite(best)
    style: dict[str, Any] = {"color": colour(0), "marker": "o", "markersize": 6, "markerfacecolor": "none"}
    axes.plot(steps[some], side * best[some], label=label, **style)
    seen = side * best[some]
    if len(seen) and np.nanmax(np.abs(flat)) > 10 * max(abs(float(seen[-1])), 1.0):
        scale(axes, [flat], positive=bool(np.nanmin(flat) >= 0))


def _blocks(log: Shown, steps: np.ndarray, values: np.ndarray, sure: np.ndarray, axes: Axes) -> None:
    for i, player in enumerate(log.players):
        own = np.where(sure[..., i, :], values[..., i, :].real, np.inf).reshape(len(steps), -1).min(axis=1)
        some = np.isfinite(own)
        style = {"color": colour(i), "linestyle": dash(i), "marker": marker(i), "markersize": 4.5}
        axes.plot(steps[some], own[some], markerfacecolor="white", label=short(player), **style)
    axes.axhline(0.0, color=GREY, linewidth=0.9, zorder=1)
    axes.set_ylabel("least Re λ of the block")
