"""The rate of convergence of a run: the factor by which its error shrinks in a step, measured from recorded norms.

    log e_k = k log ρ + p(k) + noise

The size e_k of v (or of a distance) is multiplied by ρ in each step, apart from p, an oscillation that comes from
complex eigenvalues. A line is fitted by least squares with weights that go to 0 at both ends of the window (Hann): it
does not depend on p if the window has several periods of it. A window shorter than one turn of the slowest eigenvalues
gives no rate, as p would look like a slope. The window is the last half of the run, to leave out transients, and it
ends where e_k has fallen to the level of rounding. There is no rate if the two halves of the window disagree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST = 16  # least number of points for a fit
AGREE = 0.25  # largest relative difference between the slopes of the two halves
TREMBLE = 1.0  # a smaller difference, in e-folds over the window, is allowed too: a flat line has slope 0
Fit = tuple[float, float, NDArray[np.float64]]  # slope, height, and the steps (w,) of the window


def noisy(y: np.ndarray) -> bool:
    """Return whether a curve (n,) is mostly noise, so that its running median should be drawn over it.

    The variance of second differences is three times that of first differences for white noise, twice for a random
    walk, and much smaller for a smooth curve, even if it oscillates.
    """
    y = y[np.isfinite(y)]
    if len(y) < 200:
        return False
    first, second = (float(np.median(np.abs(np.diff(y, n)))) for n in (1, 2))
    return second > 1.2 * first > 0


def measured_rate(steps: ArrayLike, size: ArrayLike, floor: ArrayLike = 0.0, turn: float = 0.0) -> float | None:
    """The factor by which ``size`` (n,) at ``steps`` (n,) changes in a step in the long run; None where it has no rate.

    ``floor``, () or (n,), is the level of rounding: points count only before the first one at or below it. ``turn`` is
    the number of steps in which the slowest eigenvalues turn once round 0; it is 0 if they are real.
    """
    found = fitted_line(steps, size, floor, turn)
    return None if isinstance(found, str) else float(np.exp(found[0]))


def fitted_line(steps: ArrayLike, size: ArrayLike, floor: ArrayLike = 0.0, turn: float = 0.0) -> Fit | str:
    """The slope and height of the line fitted to log ``size``, and the steps (w,) of the window; or why there is none.

    Arguments are those of `measured_rate`.
    """
    x, e = np.asarray(steps, dtype=np.float64), np.asarray(size, dtype=np.float64)
    reached = np.flatnonzero(~(e > np.asarray(floor)) | ~np.isfinite(e))  # a size of 0 counts as rounding too
    if len(reached):
        x, e = x[: reached[0]], e[: reached[0]]
    tail = x >= (x[0] + x[-1]) / 2 if len(x) else np.zeros(0, dtype=bool)
    x, y = x[tail], np.log(e[tail])
    if len(x) < LEAST:
        return f"{len(x)} points are too few"
    span, middle = x[-1] - x[0], len(x) // 2
    if span < turn:
        return f"{span:.0f} steps are less than one turn of λ(F'), which takes {turn:.0f}"
    slope, height = _line(x, y)
    first, second = _line(x[:middle], y[:middle])[0], _line(x[middle:], y[middle:])[0]
    if abs(first - second) * span > max(TREMBLE, AGREE * abs(slope) * span):
        return "its slope changes"
    scatter = float(np.std(y - slope * x - height))
    if noisy(y) and abs(slope) * span < 2 * scatter:  # the run does not come any nearer
        return "noise around a level"
    return slope, height, x


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    u = (x - x[0]) / (x[-1] - x[0])
    w = np.sin(np.pi * (0.02 + 0.96 * u)) ** 2  # not exactly 0 at the ends, so that these points count a little
    cx, cy = np.average(x, weights=w), np.average(y, weights=w)
    slope = float(np.sum(w * (x - cx) * (y - cy)) / np.sum(w * (x - cx) ** 2))
    return slope, float(cy - slope * cx)
