"""Metastable projection: periods in which the first of two components is right and the second is not.

See Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Fig. 7 and appendix A.2: "long periods where the value of
the first component of G is equal to the first component of P". They counted such runs by eye. Here a *projection
period* is a longest stretch of consecutive points of a path (a_t, b_t) at which

    |a_t - P_1| <= tolerance |P_1|    and    |b_t - P_2| > tolerance |P_2|

that has at least ``least`` points and along which b moves: sum |b_{t+1} - b_t| >= drift |P_2|. An oscillation crosses
the band too fast to count, and a game that has stopped does not move. A period that lasts until the end of the path
counts up to the end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UsageError


def projection_periods(
    path: ArrayLike, target: ArrayLike, least: int, tolerance: float = 0.05, drift: float = 0.01
) -> NDArray[np.intp]:
    """The projection periods of ``path`` (T, 2), as rows [first, last + 1) of indices: (K, 2).

    Points that are not finite belong to no period. Raises UsageError where shapes do not fit or a target is 0.
    """
    points, goal = np.asarray(path, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or goal.shape != (2,):
        raise UsageError(
            f"a path of shape {points.shape} and a target of shape {goal.shape} were given: expected (T, 2) and (2,)."
        )
    if not goal.all():
        raise UsageError(f"the tolerance is relative to the target, but one of its components {goal.tolist()} is 0.")
    off = np.abs(points - goal) / np.abs(goal)  # (T, 2)
    inside = np.isfinite(points).all(1) & (off[:, 0] <= tolerance) & (off[:, 1] > tolerance)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    periods = edges.reshape(-1, 2)  # entered and left in turn
    kept = [
        last - first >= least and np.abs(np.diff(points[first:last, 1])).sum() >= drift * abs(goal[1])
        for first, last in periods
    ]
    return periods[np.array(kept, dtype=bool)]


def projection_time(
    paths: ArrayLike, target: ArrayLike, least: int, tolerance: float = 0.05, drift: float = 0.01
) -> NDArray[np.intp]:
    """The number of points that each of ``paths`` (T, M, 2) spends in projection periods: (M,)."""
    members = np.moveaxis(np.asarray(paths, dtype=np.float64), 1, 0)
    found = [projection_periods(path, target, least, tolerance, drift) for path in members]
    return np.array([int((p[:, 1] - p[:, 0]).sum()) for p in found], dtype=np.intp)
