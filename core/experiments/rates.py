"""How fast runs converge or diverge, from their logs: factors by which an error is multiplied in a step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .claim import Measured, exactly, unknown

HARMONICS = 4


def rate(
    log: Mapping[str, NDArray[np.float64]], skip: int = 0, phase: float = 0.0, size: NDArray[np.float64] | None = None
) -> Measured:
    """The factor per step of the norm of all parameters, fitted from row ``skip`` on; the median over members.

    Along a pair r e^{+-i phase} of eigenvalues the norm is r^k times a function of 2 phase k, of which the first four
    harmonics are fitted, too. The interval is the range over members and over both halves of the rows. ``size``
    (k, [members]) replaces the norm.
    """
    e = np.hypot.reduce(log["step/parameter_norms"], axis=-1) if size is None else size
    e = e.reshape(len(e), -1)[skip:]
    k = np.asarray(log["step/step"], dtype=float)[skip:]
    good = (np.isfinite(e) & (e > 0)).all(axis=1)
    if good.sum() < 8 * (HARMONICS + 1):
        return unknown("too few rows for a rate")
    k, e = k[good], e[good]
    half = len(k) // 2
    slopes = [_slopes(k[part], np.log(e[part]), phase) for part in (slice(None), slice(half), slice(half, None))]
    every = np.exp(np.concatenate(slopes))
    note = "over both halves of the run" + (f" and {e.shape[1]} members" if e.shape[1] > 1 else "")
    return Measured(float(np.median(np.exp(slopes[0]))), float(every.min()), float(every.max()), note)


def _slopes(k: NDArray[np.float64], y: NDArray[np.float64], phase: float) -> NDArray[np.float64]:
    """The slopes (members,) of y (k, members), by regression on k and on the beat of the leading pair."""
    beats = [f(2 * n * phase * k) for n in range(1, HARMONICS + 1) for f in (np.cos, np.sin)] if phase else []
    columns = np.stack([k - k.mean(), np.ones(len(k)), *beats], axis=1)
    found: NDArray[np.float64] = np.linalg.lstsq(columns, y, rcond=None)[0][0]
    return found


def growth(log: Mapping[str, NDArray[np.float64]]) -> Measured:
    """The factor per step of the moves themselves, from the last two of them; the range over members."""
    moves = np.diff(log["step/parameters"], axis=0)
    size = np.linalg.norm(moves, axis=-1).reshape(len(moves), -1)
    if len(size) < 2 or not (size[-2] > 0).all():
        return unknown("it does not move")
    ratio = size[-1] / size[-2]
    if len(ratio) == 1:
        return exactly(float(ratio[0]))
    return Measured(float(np.median(ratio)), float(ratio.min()), float(ratio.max()), f"{len(ratio)} members")
