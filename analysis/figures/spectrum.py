"""Figure: spectra in the complex plane, with the regions in which flow and step converge, and over the steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UsageError
from ...core.stability.certainty import bound_sign, largest, whole
from ...core.stability.number_format import number_text, rate_text
from ...core.stability.step_sizes import plain_step
from ..drawing.card import Card
from ..drawing.names import Shown, heading, short
from ..drawing.page import Drawing, Panel
from ..drawing.style import GREY, colour, marker
from ..measures.convergence import period_of
from ..measures.recorded_spectra import spectra
from .spectrum_course import course

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARD = Card(
    summary="Eigenvalues of the game's Jacobian in the complex plane.",
    caption=(
        "Eigenvalues of J = ∂v/∂θ on a fixed batch, where v is what a step subtracts. The flow θ′ = −v is locally "
        "stable where every eigenvalue lies in the shaded half-plane. A step of plain descent converges where they "
        "all lie in the darker disc, which is drawn where the step size is known. Hollow diamonds had not "
        "converged. Of a large F' there are two sets: the eigenvalues of largest modulus, which decide, and those "
        "farthest from 1. Together they bound ρ(F') from below. The view is that of the last spectrum; how far "
        "earlier ones reach beyond it is said. Of many runs the last spectra are drawn in one plane, as of several "
        "on a narrow page, where of one run J and F' alone are drawn."
    ),
    needs=("spectrum/eigenvalues",),
    wants="spectra, which a run records with --spectrum-every N",
    options=("ascent", "step"),
)

_STABLE: dict[str, Any] = {"facecolor": "#56B4E9", "alpha": 0.22, "linewidth": 0}  # on light and on dark paper
_STEP = _STABLE | {"alpha": 0.4}
_LARGEST, _FARTHEST = "of largest modulus", "farthest from 1"
NAMED = {"eigenvalues": "J", "block_eigenvalues": "blocks", "update_eigenvalues": "F"}  # the panels
ROWS = 3  # of more runs the last spectra are drawn in one plane
_FAR = 3.0  # times the reach of the last spectrum: what lies beyond is not in view
_SPECTRA = 60  # most spectra drawn of a run: the first, the last, and evenly spaced ones between


def drawing(logs: list[Shown], ascent: bool = False, step: int | None = None) -> Drawing:
    """For each run panels of J, of its players' blocks and of F' if they were recorded; of many runs, all in one.

    With ``step`` the spectrum of this step alone is shown, or the last before it. Raises UsageError if there is none.
    """
    if step is not None:
        for log in logs:
            steps = log["spectrum/step"]
            log.rows["spectrum"] = int(np.count_nonzero(steps <= step))
            if not log.length("spectrum"):
                raise UsageError(f"{log.path} has no spectrum up to step {step}; the first is of step {steps[0]}.")
    sign, title = -1.0 if ascent else 1.0, heading(logs, "Spectra")
    kinds = [kind for kind in _DRAW if any(f"spectrum/{kind}" in log for log in logs)]
    deciding = [kind for kind in kinds if kind != "block_eigenvalues"]
    brief = Drawing(title, [_panel(_overlay, logs, kind, sign, size=(4.6, 4.2)) for kind in deciding], 2, True)
    if len(logs) > ROWS:
        return brief
    panels = []
    for log in logs:
        name = log.label if len(logs) > 1 else ""
        planes = [_panel(_plane, log, kind, sign, name, step is not None) for kind in kinds]
        panels += planes
        if len(logs) == 1:
            brief = Drawing(title, [panel for panel in planes if panel.name != "blocks"], len(deciding))
            if log.length("spectrum") > 1 and step is None:
                panels += [_panel(course, log, kind, sign, size=(3.9, 2.8), over="-steps") for kind in kinds]
    return Drawing(title, panels, len(kinds), brief=brief)


def _panel(draw: Any, of: Any, kind: str, *more: Any, size: tuple[float, float] = (3.9, 4.0), over: str = "") -> Panel:
    return Panel(partial(draw, of, kind, *more), size, name=NAMED[kind] + over)


def _plane(log: Shown, kind: str, sign: float, name: str, alone: bool, axes: Axes) -> None:
    """Eigenvalues of one kind, of all recorded steps or of the last ``alone``."""
    if f"spectrum/{kind}" not in log:
        axes.set_axis_off()
        return
    _DRAW[kind](axes, log, sign, alone)
    if name:
        axes.set_title(f"{name}\n{axes.get_title()}")


def _overlay(logs: list[Shown], kind: str, sign: float, axes: Axes) -> None:
    """The last spectrum of each run."""
    F = kind == "update_eigenvalues"
    sign = 1.0 if F else sign
    last = [
        sign * log.read(f"spectrum/{kind}", -1).ravel() if f"spectrum/{kind}" in log else np.zeros(0) for log in logs
    ]
    last = [z[np.isfinite(z)] for z in last]
    for i, (log, z) in enumerate(zip(logs, last, strict=True)):
        style: dict[str, Any] = {"s": 30, "facecolors": "none", "edgecolors": colour(i), "linewidths": 1.1, "zorder": 3}
        axes.scatter(z.real, z.imag, marker=marker(i), label=log.label, **style)
    reach = np.sort([float(np.abs(z).max()) for z in last if len(z)])
    # a run far from the others would hide them
    most = reach[reach <= 5 * np.median(reach)].max() if len(reach) else 1.0
    z = np.concatenate(last)
    near = z[np.abs(z) <= most * (1 + 1e-9)]
    if F:
        _unit_disc(axes, near)
    else:
        _half_plane(axes, near, sign)
    _say_beyond(axes, z, len(z) - len(near))
    name = "F'" if F else "J" if sign > 0 else "−J"
    axes.set_title("One step's derivative F', last spectra" if F else f"Jacobian {name} of the game, last spectra")
    axes.set_xlabel(f"Re λ({name})")
    axes.set_ylabel(f"Im λ({name})")


def _rows(log: Shown, kind: str, alone: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps (k,), eigenvalues (k, …) and whether each has converged (k, …)."""
    n = log.length("spectrum")
    at = np.unique(np.linspace(n - 1 if alone else 0, n - 1, min(n, _SPECTRA)).astype(int))
    values = log[f"spectrum/{kind}"][at]
    prefix = kind.removesuffix("eigenvalues")
    key = f"spectrum/{prefix}status"
    sure = np.ones(values.shape, dtype=bool)
    if key in log:
        sure &= (log[key][at] == 0).reshape(*log[key][at].shape, *(1,) * (values.ndim - log[key].ndim))
    return log["spectrum/step"][at], values, sure


def _scatter(axes: Axes, steps: np.ndarray, values: np.ndarray, sure: np.ndarray, bar: bool,
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
        if bar and (fig := axes.figure) is not None:
            fig.colorbar(shown, ax=axes, shrink=0.85).ax.set_title("step", fontsize="medium")


def _jacobian(axes: Axes, log: Shown, sign: float, alone: bool) -> None:
    steps, values, sure = _rows(log, "eigenvalues", alone)
    _scatter(axes, steps, sign * values, sure, bar=True)
    near, beyond = _in_view(values)
    _half_plane(axes, sign * near, sign)
    _step_disc(axes, log, sign)
    _say_beyond(axes, values, beyond)
    name = "J" if sign > 0 else "−J"
    part = "" if whole([one.J for one in spectra(log) or []]) else f"\neigenvalues {_LARGEST}"
    axes.set_title(f"Jacobian {name} of the game{_at(steps)}{part}")
    axes.set_xlabel(f"Re λ({name})")
    axes.set_ylabel(f"Im λ({name})")


def _blocks(axes: Axes, log: Shown, sign: float, alone: bool) -> None:
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
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")


def _update(axes: Axes, log: Shown, sign: float, alone: bool) -> None:
    steps, values, sure = _rows(log, "update_eigenvalues", alone)
    near, beyond = _in_view(values)
    _unit_disc(axes, near)
    _say_beyond(axes, values, beyond)
    found = [one.update for one in spectra(log) or [] if one.update is not None]
    name = "eigenvalues" if whole(found) else _LARGEST if "spectrum/state_size" in log else _FARTHEST
    first = axes.figure is not None and len(axes.figure.axes) == 1  # else the colours are those of J, beside it
    _scatter(axes, steps, values, sure, bar=first, name=name)
    if "spectrum/update_far_eigenvalues" in log:
        steps, values, sure = _rows(log, "update_far_eigenvalues", alone)
        if np.isfinite(values).any():
            _scatter(axes, steps, values, sure, bar=False, name=_FARTHEST, mark="^")
    period = period_of(log)
    what = "One step's derivative F'" if period == 1 else f"Derivative F' of one period, {period} steps"
    what += _at(steps)
    rho, at = largest(found), f" at step {steps[-1]}" * (len(steps) > 1)
    if rho is not None:
        side = bound_sign(whole(found), "≥")
        what += f"\nρ(F') {'= ' * (not side)}{rate_text(rho[0], 4, side, rho[1])}{at}"
    axes.set_title(what)
    axes.set_xlabel("Re λ(F')")
    axes.set_ylabel("Im λ(F')")


def _at(steps: np.ndarray) -> str:
    return f", step {steps[0]}" if len(steps) == 1 else ""


def _in_view(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Of spectra (k, …) the eigenvalues that decide the view, those within reach of the last; how many lie beyond."""
    size = np.abs(np.where(np.isfinite(values), values, 0))
    reach = float(size[-1].max())
    near = size <= (_FAR * reach if reach > 0 else np.inf)
    return values[near & np.isfinite(values)], int((~near).sum())


def _say_beyond(axes: Axes, values: np.ndarray, beyond: int) -> None:
    """Say what is not in view."""
    if beyond:
        far = number_text(float(np.nanmax(np.abs(values[np.isfinite(values)]))), 3, "", 0.0)
        words = f"{beyond} more out of view,\nup to |λ| = {far}"
        axes.text(0.98, 0.98, words, transform=axes.transAxes, ha="right", va="top", fontsize="small", color=GREY)


def _unit_disc(axes: Axes, values: np.ndarray) -> None:
    """Shade the disc in which a step converges. The view includes it."""
    angle = np.linspace(0, 2 * np.pi, 361)
    axes.fill(np.cos(angle), np.sin(angle), zorder=0, **_STABLE, label="converges: |λ| < 1")
    axes.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=0.8, zorder=1)
    x, y = (np.concatenate([part, [-1.0, 1.0]]) for part in (values.real, values.imag))
    middle = (float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2)
    half = 0.54 * max(float(np.ptp(x)), float(np.ptp(y)))
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal", adjustable="box")
    axes.locator_params(axis="x", nbins=5)  # a label at the very end would be cut off


def _half_plane(axes: Axes, values: np.ndarray, sign: float) -> None:
    """Shade the half-plane where the flow is stable. The view always includes the origin and both half-planes."""
    good = values[np.isfinite(values)]
    reach = (float(np.abs(good).max()) if len(good) else 1.0) or 1.0
    left, right = (float(good.real.min()), float(good.real.max())) if len(good) else (-1.0, 1.0)
    margin = max(0.08 * reach, 0.15 * (right - left))
    left, right = min(left, 0.0) - margin, max(right, 0.0) + margin
    top = max(float(np.abs(good.imag).max()) if len(good) else 0.0, 0.05 * reach) * 1.25
    axes.set_xlim(left, right)
    axes.set_ylim(-top, top)
    axes.locator_params(axis="x", nbins=5)  # labels of small numbers are long
    side = (0.0, right) if sign > 0 else (left, 0.0)
    axes.axvspan(*side, zorder=0, **_STABLE, label=f"stable: Re λ {'>' if sign > 0 else '<'} 0")
    axes.axhline(0, color="#999999", linewidth=0.7, zorder=1)
    axes.axvline(0, color=GREY, linewidth=0.9, zorder=1)


def _step_disc(axes: Axes, log: Shown, sign: float) -> None:
    """Shade where a step of simultaneous gradient descent converges, |1 − ηλ| < 1, if its step size η is known.

    It is a disc of radius 1/η that touches the imaginary axis at 0. The view does not change, so it may be cut off.
    """
    if (eta := plain_step(log.experiment, log.players)) is None:
        return
    height, angle = axes.get_ylim()[1], np.linspace(-np.pi, np.pi, 20001)
    # Of a huge disc, only an arc near 0 is in view: put the points there.
    near = (
        angle if height > 0.1 / eta else np.concatenate([[-np.pi], angle * min(1.0, 4 * height * eta) / np.pi, [np.pi]])
    )
    x, y = sign * (1 - np.cos(near)) / eta, np.sin(near) / eta
    label = f"step η = {eta:g} converges"
    axes.fill(x, y, zorder=0.5, **_STEP, label=label)
    axes.plot(x, y, color="#6f9fc0", linewidth=0.8, zorder=0.6)


_DRAW = {"eigenvalues": _jacobian, "block_eigenvalues": _blocks, "update_eigenvalues": _update}
