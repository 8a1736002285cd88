"""A figure as plain data: panels with axes and series. The analysis package draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

POINTS = 400  # of a curve; more than a panel can show


@dataclass(frozen=True)
class Series:
    """Points (x, y) under one label, with an interval of y where ``low`` and ``high`` are given.

    ``paper`` marks values that a paper prints or derives, in contrast to ours.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "points", "bars"] = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    paper: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. ``log`` names the axes that are logarithmic: "", "x", "y" or "xy".

    ``marks`` are horizontal lines, by label, ``ticks`` the names along x of points at 0, 1, 2, …; ``square`` gives both
    axes the same scale.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    log: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)
    ticks: tuple[str, ...] = ()
    square: bool = False


def curve(label: str, x: ArrayLike, y: ArrayLike, **options: Any) -> Series:
    """A line through (x, y), (n,) each, thinned to at most ``POINTS`` points, the first and the last among them."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    at = np.unique(np.linspace(0, len(a) - 1, min(len(a), POINTS)).astype(int)) if len(a) else np.zeros(0, int)
    return Series(label, a[at].tolist(), b[at].tolist(), **options)


def points(label: str, x: ArrayLike, y: ArrayLike, **options: Any) -> Series:
    """The points (x, y), (n,) each."""
    return Series(label, np.ravel(x).astype(float).tolist(), np.ravel(y).astype(float).tolist(), "points", **options)


def spectrum(label: str, eigenvalues: ArrayLike, **options: Any) -> Series:
    """Eigenvalues in the complex plane."""
    z = np.ravel(np.asarray(eigenvalues, dtype=complex))
    return points(label, z.real, z.imag, **options)
