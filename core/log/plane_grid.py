"""The part of a plane that shows a path, and a grid of points over it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 24  # along each side
Array = NDArray[np.float64]


def window(path: Array) -> Array:
    """The lower left and upper right corner (2, 2) of a window on paths (steps, members, 2).

    The window has all points but the far end of a path that diverges.
    """
    flat = path.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(axis=1)]
    start = path[:1].reshape(-1, 2)
    start = start[np.isfinite(start).all(axis=1)]
    if not len(start):
        return np.array([[-1.0, -1.0], [1.0, 1.0]])
    away = np.abs(flat - np.median(start, axis=0)).max(axis=1)
    while len(away) and away.max() > 100 * np.median(away) > 0:  # else only its last turns would be visible
        near = away <= 10 * np.median(away)
        flat, away = flat[near], away[near]
    flat = np.concatenate([flat, start])
    low, high = flat.min(axis=0), flat.max(axis=0)
    constant = high - low <= 0
    return np.array([np.where(constant, low - 0.5, low), np.where(constant, high + 0.5, high)])


def mesh(corners: Array) -> Array:
    """The centres (CELLS, CELLS, 2) of the cells of a window with ``corners`` (2, 2)."""
    shares = (np.arange(CELLS) + 0.5) / CELLS
    x, y = np.meshgrid(*(low + shares * (high - low) for low, high in corners.T))
    return np.stack([x, y], axis=-1)
