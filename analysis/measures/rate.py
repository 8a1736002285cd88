"""How fast a run converges: the factor by which its error shrinks in a step, measured from what was recorded.

    log e_k = k log ρ + p(k) + noise

The size e_k of v (or of a distance) falls by ρ a step, but for p, an oscillation where the slowest eigenvalues are
complex. A least-squares line whose weights fade out at both ends (Hann's) is blind to p once the window holds a
few periods; where it holds less than a turn of those eigenvalues, p passes for a slope. Transients are left out by
looking at the last half only, and rounding by ending where e_k has fallen to its floor. What two halves of the window
disagree about is not a rate, and there is none to report.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 16  # points a line is laid through
AGREE = 0.25  # relative difference allowed between the slopes of the two halves ...
TREMBLE = 1.0  # ... or this much, in e-folds over the window: a flat line has no relative difference
Fit = tuple[float, float, NDArray[np.float64]]  # slope, height, and the steps (w,) of the window


def noisy(y: np.ndarray) -> bool:
    """Return whether a curve (n,) is mostly noise, so that its median should be drawn over it.

    Second differences have three times the variance of first ones for white noise, twice for a random walk, and little
    for a smooth curve, an oscillation included.
    """
    y = y[np.isfinite(y)]
    if len(y) < 200:
        return False
    first, second = (float(np.median(np.abs(np.diff(y, n)))) for n in (1, 2))
    return second > 1.2 * first > 0


def measured_rate(steps: ArrayLike, size: ArrayLike, floor: ArrayLike = 0.0, turn: float = 0.0) -> float | None:
    """The factor a step by which ``size`` (n,) changes at ``steps`` (n,) in the end; None where it has no one rate.

    ``floor``, () or (n,), is the size at which rounding takes over: nothing counts from the first point at or below it.
    ``turn`` are the steps in which the slowest eigenvalues go round once, 0 if they do not.
    """
    found = fitted_line(steps, size, floor, turn)
    return None if isinstance(found, str) else float(np.exp(found[0]))


def fitted_line(steps: ArrayLike, size: ArrayLike, floor: ArrayLike = 0.0, turn: float = 0.0) -> Fit | str:
    """Slope and height of log ``size`` over steps, and the steps (w,) of its window; or why there is none."""
    x, e = np.asarray(steps, dtype=np.float64), np.asarray(size, dtype=np.float64)
    reached = np.flatnonzero(~(e > np.asarray(floor)) | ~np.isfinite(e))  # so that 0 ends it, too
    if len(reached):
        x, e = x[: reached[0]], e[: reached[0]]
    tail = x >= (x[0] + x[-1]) / 2 if len(x) else np.zeros(0, dtype=bool)
    x, y = x[tail], np.log(e[tail])
    if len(x) < LEAST:
        return f"{len(x)} points are too few"
    span, middle = x[-1] - x[0], len(x) // 2
    if span < turn:
        return f"{span:.0f} steps are no whole turn of λ(F'), which takes {turn:.0f}"
    slope, height = _line(x, y)
    first, second = _line(x[:middle], y[:middle])[0], _line(x[middle:], y[middle:])[0]
    if abs(first - second) * span > max(TREMBLE, AGREE * abs(slope) * span):
        return "its slope changes"
    scatter = float(np.std(y - slope * x - height))
    if noisy(y) and abs(slope) * span < 2 * scatter:  # the run has come as near as it will
        return "noise around a level"
    return slope, height, x


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    u = (x - x[0]) / (x[-1] - x[0])
    w = np.sin(np.pi * (0.02 + 0.96 * u)) ** 2  # not quite 0 at the ends: they are points, too
    cx, cy = np.average(x, weights=w), np.average(y, weights=w)
    slope = float(np.sum(w * (x - cx) * (y - cy)) / np.sum(w * (x - cx) ** 2))
    return slope, float(cy - slope * cx)
