"""Figure: spectra in the complex plane, with the regions in which flow and step converge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.stability.certainty import bound, largest, whole
from ...core.stability.number_format import rate_text
from ...core.stability.step_sizes import plain_step
from ..log.log import Log
from ..measures.convergence import period_of
from ..measures.recorded_spectra import spectra
from .card import Card
from .style import colour, marker, new_figure, short, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CARD = Card(
    summary="Eigenvalues of the game's Jacobian in the complex plane.",
    caption=(
        "Eigenvalues of J = ∂v/∂θ on a fixed batch, where v is what a step subtracts. The flow θ′ = −v is locally "
        "stable where every eigenvalue lies in the shaded half-plane. A step of plain descent converges where they "
        "all lie in the darker disc, which is drawn where the step size is known. Hollow diamonds had not "
        "converged. Of a large F' there are two sets: the eigenvalues of largest modulus, which decide, and those "
        "farthest from 1. Together they bound ρ(F') from below."
    ),
    needs=("spectrum/eigenvalues",),
    options=("ascent",),
)

_STABLE = "#DCEBF5"
_STEP = "#A9CDE6"
_LARGEST, _FARTHEST = "of largest modulus", "farthest from 1"
_SPECTRA = 60  # most spectra drawn of a run: the first, the last, and evenly spaced ones between


def draw(logs: list[Log], ascent: bool = False) -> Figure:
    """Draw for each run a panel of J, coloured by step, then of its player blocks and of F' if they were recorded."""
    panels: list[tuple[Log, str]] = []
    for log in logs:
        panels.append((log, "eigenvalues"))
        panels += [(log, k) for k in ("block_eigenvalues", "update_eigenvalues") if f"spectrum/{k}" in log]
    columns = max(sum(1 for log, _ in panels if log is one) for one in logs)
    fig, axes = new_figure(len(logs), columns, (5.2, 4.6) if columns == 1 else (3.9, 4.0))
    for i, log in enumerate(logs):
        kinds = [kind for one, kind in panels if one is log]
        for j, kind in enumerate(kinds):
            _DRAW[kind](axes[i, j], fig, log, -1.0 if ascent else 1.0)
        if len(logs) > 1:
            axes[i, 0].set_title(f"{title(log)}\n{axes[i, 0].get_title()}")
        for spare in axes[i, len(kinds) :]:
            spare.set_axis_off()
    fig.suptitle(title(logs[0]) if len(logs) == 1 else "Spectra", fontsize=10.5)
    return fig


def _rows(log: Log, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps (k,), eigenvalues (k, …) and whether each has converged (k, …)."""
    n = log.length("spectrum")
    at = np.unique(np.linspace(0, n - 1, min(n, _SPECTRA)).astype(int))
    values = log[f"spectrum/{kind}"][at]
    prefix = kind.removesuffix("eigenvalues")
    key = f"spectrum/{prefix}status"
    sure = np.ones(values.shape, dtype=bool)
    if key in log:
        sure &= (log[key][at] == 0).reshape(*log[key][at].shape, *(1,) * (values.ndim - log[key].ndim))
    return log["spectrum/step"][at], values, sure


def _scatter(axes: Axes, fig: Any, steps: np.ndarray, values: np.ndarray, sure: np.ndarray, bar: bool,
    name: str = "eigenvalues", mark: str = "o") -> None:  # fmt: skip
    """Plot eigenvalues (k, …) coloured by step, the last ones on top; those that have not converged are hollow."""
    when = np.broadcast_to(steps.reshape(-1, *(1,) * (values.ndim - 1)), values.shape)
    good = np.isfinite(values)
    low, high = float(steps.min()), float(max(steps.max(), steps.min() + 1))
    points: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high, "s": 24, "zorder": 3}
    settled, rough = good & sure, good & ~sure
    z = values[settled]
    shown = axes.scatter(z.real, z.imag, c=when[settled], marker=mark, label=name, **points)
    if rough.any():
        z = values[rough]
        points = {"s": 24, "zorder": 3, "facecolors": "none", "edgecolors": shown.to_rgba(when[rough])}
        axes.scatter(z.real, z.imag, marker="D", label="not converged", **points)
    last = good[-1]
    if len(steps) > 1 and last.any():
        z = values[-1][last]
        ring: dict[str, Any] = {"s": 52, "facecolors": "none", "edgecolors": colour(1), "linewidths": 1.0, "zorder": 4}
        axes.scatter(z.real, z.imag, label=f"at step {steps[-1]}", **ring)
        if bar:
            fig.colorbar(shown, ax=axes, label="step", shrink=0.85)


def _jacobian(axes: Axes, fig: Any, log: Log, sign: float) -> None:
    steps, values, sure = _rows(log, "eigenvalues")
    _scatter(axes, fig, steps, sign * values, sure, bar=True)
    _half_plane(axes, sign * values, sign)
    _step_disc(axes, log, sign)
    name = "J" if sign > 0 else "−J"
    part = "" if whole([one.J for one in spectra(log) or []]) else f"\neigenvalues {_LARGEST}"
    axes.set_title(f"Jacobian {name} of the game{part}")
    axes.set_xlabel(f"Re λ({name}) (1)")
    axes.set_ylabel(f"Im λ({name}) (1)")
    _legend(axes)


def _blocks(axes: Axes, fig: Any, log: Log, sign: float) -> None:
    values = sign * log.read("spectrum/block_eigenvalues", -1)[0]  # ([member], player, block_mode)
    for i, player in enumerate(log.players):
        own = values[..., i, :]
        own = own[np.isfinite(own)]
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": colour(i), "s": 26, "zorder": 3}
        axes.scatter(own.real, own.imag, marker=marker(i), label=short(player), **style)
    _half_plane(axes, values, sign)
    name = "J" if sign > 0 else "−J"
    blocks = [x for one in spectra(log) or [] for x in (one.blocks or {}).values()]
    part = "" if whole(blocks) else f"\neigenvalues {_LARGEST}"
    axes.set_title(f"Players' own blocks of {name}, step {log.read('spectrum/step', -1)[0]}{part}")
    axes.set_xlabel("Re λ (1)")
    axes.set_ylabel("Im λ (1)")
    _legend(axes)


def _update(axes: Axes, fig: Any, log: Log, sign: float) -> None:
    steps, values, sure = _rows(log, "update_eigenvalues")
    angle = np.linspace(0, 2 * np.pi, 361)
    axes.fill(np.cos(angle), np.sin(angle), color=_STABLE, zorder=0, label="converges: |λ| < 1")
    axes.plot(np.cos(angle), np.sin(angle), color="#777777", linewidth=0.8, zorder=1)
    found = [one.update for one in spectra(log) or [] if one.update is not None]
    name = "eigenvalues" if whole(found) else _LARGEST if "spectrum/state_size" in log else _FARTHEST
    _scatter(axes, fig, steps, values, sure, bar=False, name=name)  # the colours are those of J
    if "spectrum/update_far_eigenvalues" in log:
        steps, values, sure = _rows(log, "update_far_eigenvalues")
        if np.isfinite(values).any():
            _scatter(axes, fig, steps, values, sure, bar=False, name=_FARTHEST, mark="^")
    axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(axis="x", nbins=5)  # a label at the very end would be cut off
    period = period_of(log)
    what = "One step's derivative F'" if period == 1 else f"Derivative F' of one period, {period} steps"
    rho, at = largest(found), f" at step {steps[-1]}" * (len(steps) > 1)
    if rho is not None:
        side = bound(whole(found), "≥")
        what += f"\nρ(F') {'= ' * (not side)}{rate_text(rho[0], 4, side, rho[1])}{at}"
    axes.set_title(what)
    axes.set_xlabel("Re λ(F') (1)")
    axes.set_ylabel("Im λ(F') (1)")
    _legend(axes)


def _legend(axes: Axes) -> None:
    marks = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # a label that occurs twice, once
    axes.legend(
        marks.values(),
        marks.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=2,
        columnspacing=1.0,
        handletextpad=0.4,
    )


def _half_plane(axes: Axes, values: np.ndarray, sign: float) -> None:
    """Shade the half-plane where the flow is stable. The view always includes the origin and both half-planes."""
    good = values[np.isfinite(values)]
    reach = float(np.abs(good).max()) if len(good) else 1.0
    reach = reach or 1.0
    left, right = (float(good.real.min()), float(good.real.max())) if len(good) else (-1.0, 1.0)
    margin = max(0.08 * reach, 0.15 * (right - left))
    left, right = min(left, 0.0) - margin, max(right, 0.0) + margin
    top = max(float(np.abs(good.imag).max()) if len(good) else 0.0, 0.05 * reach) * 1.25
    axes.set_xlim(left, right)
    axes.set_ylim(-top, top)
    axes.locator_params(axis="x", nbins=5)  # labels of small numbers are long
    side = (0.0, right) if sign > 0 else (left, 0.0)
    axes.axvspan(*side, color=_STABLE, zorder=0, label=f"stable: Re λ {'>' if sign > 0 else '<'} 0")
    axes.axhline(0, color="#999999", linewidth=0.7, zorder=1)
    axes.axvline(0, color="#777777", linewidth=0.9, zorder=1)


def _step_disc(axes: Axes, log: Log, sign: float) -> None:
    """Shade where a step of simultaneous gradient descent converges, |1 − ηλ| < 1, if its step size η is known.

    It is a disc of radius 1/η that touches the imaginary axis at 0. The view does not change, so it may be cut off.
    """
    eta = plain_step(log.experiment, log.players)
    if eta is None:
        return
    height, angle = axes.get_ylim()[1], np.linspace(-np.pi, np.pi, 20001)
    # Of a huge disc, only an arc near 0 is in view: put the points there.
    near = (
        angle if height > 0.1 / eta else np.concatenate([[-np.pi], angle * min(1.0, 4 * height * eta) / np.pi, [np.pi]])
    )
    x, y = sign * (1 - np.cos(near)) / eta, np.sin(near) / eta
    label = f"step η = {eta:g} converges"
    axes.fill(x, y, color=_STEP, zorder=0.5, label=label)
    axes.plot(x, y, color="#6f9fc0", linewidth=0.8, zorder=0.6)


_DRAW = {"eigenvalues": _jacobian, "block_eigenvalues": _blocks, "update_eigenvalues": _update}
