"""Choose the scale of an axis by its numbers: linear, logarithmic, or logarithmic on both sides of zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEYOND = 1e280  # larger numbers are not drawn: the ends of the axis, with margins, would overflow
DEEP = 1e-20  # times where a curve began: what is smaller lies below a logarithmic axis
NEAR = 1e-8  # times where a curve began: what is smaller is as good as zero on an axis of both signs


def drawable(y: np.ndarray) -> np.ndarray:
    """Return ``y`` with NaN in place of numbers beyond BEYOND, and 0 in place of numbers below 1 / BEYOND."""
    size = np.abs(y)
    return np.where(size < BEYOND, np.where(size > 1 / BEYOND, y, 0.0), np.nan)


def scale(axes: Axes, curves: Sequence[np.ndarray], positive: bool = False, cut: bool = False) -> None:
    """Choose the vertical scale for ``curves`` (n, …): logarithmic over three decades, symlog where signs change.

    ``positive`` says that the values are norms or the like: they are logarithmic from a factor of 2 on. With ``cut``
    there are more curves, which may leave the view: it is that of ``curves``.
    """
    whole = [drawable(np.asarray(y, dtype=float)).reshape(len(y), -1) for y in curves if len(y)]
    values = np.concatenate([y.ravel() for y in whole]) if whole else np.zeros(0)
    values = values[~np.isnan(values)]
    good = np.abs(values[values != 0])
    if not len(good):
        return
    begins = [np.abs(y[row][y[row] != 0]) for y in whole if len(row := np.flatnonzero((y != 0).any(axis=1))[:1])]
    first = float(np.nanmax(np.concatenate(begins))) if begins else float(good.max())
    low, middle, high = good.min(), np.median(good), good.max()
    if high > (2 if positive else 1e3) * low and (positive or (values > 0).all()):
        axes.set_yscale("log")
        deep = low < DEEP * first < high
        low = max(low, DEEP * first) if deep else low
        bottom, top = float(np.log10(low)), float(np.log10(high))
        far = _far(axes, "y", bottom, top)
        if far:
            axes.yaxis.set_ticks(10.0 ** np.arange(np.ceil(bottom), top, max(1.0, (top - bottom) // 6)))
        elif cut or deep:
            margin = 0.05 * max(top - bottom, 0.1)
            axes.set_ylim(10.0 ** (bottom - (0 if deep else margin)), 10.0 ** (top + margin))
    elif high > 1e3 * middle and high > 1e3 * NEAR * first:
        symlog(axes, "y", float(max(middle, NEAR * first)), float(high))
        if cut:
            axes.set_ylim(*(np.array([values.min(), values.max()]) * np.where([values.min() < 0, True], 2, 0.5)))
    elif cut:
        low, high = float(values.min()), float(values.max())
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)


def symlog(axes: Axes, which: Literal["x", "y"], middle: float, high: float) -> None:
    """Make one axis ("x" or "y") logarithmic on both sides of zero, linear up to about ``middle``, up to ``high``."""
    top, low = (int(np.floor(np.log10(x))) for x in (high, middle))
    # At least a tenth of the axis is linear: many decades would otherwise hide numbers near zero.
    getattr(axes, f"set_{which}scale")("symlog", linthresh=10.0**low, linscale=max(1.0, (top - low) / 9))
    ticks = [10.0**k for k in range(top, low, -max(1, -(-(top - low) // (2 if which == "x" else 3))))]
    far = _far(axes, which, float(low), top + 1.0, both=True)
    getattr(axes, f"{which}axis").set_ticks([*(-t for t in ticks), 0.0, *reversed(ticks)])
    if not far:
        axes.autoscale(axis=which)  # compute the margins again, in the new scale


def _far(axes: Axes, which: Literal["x", "y"], bottom: float, top: float, both: bool = False) -> bool:
    """If matplotlib would overflow as it computes the ends and ticks of an axis, set them, and return True.

    The axis goes from 10**``bottom`` to 10**``top``; with ``both``, from −10**``top`` to 10**``top``.
    """
    if -100 < bottom and top < 100:
        return False
    margin = 0.05 * (top - bottom)
    first, last = (10.0 ** np.clip(x, -307, 307) for x in (bottom - margin, top + margin))
    getattr(axes, f"set_{which}lim")(-last if both else first, last)
    getattr(axes, f"{which}axis").set_ticks([], minor=True)
    return True
