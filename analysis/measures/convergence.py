"""The course of a run, from its log: the norms of v, the rate at which they shrink, the members that diverged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.stability.certainty import Known, rounding_of, without_neutral
from ...core.stability.conditioning import radius, steps_per_turn
from ...core.stability.rate import Fit, fitted_line
from ..log.log import Log
from .recorded_spectra import last, spectra


def rates(log: Log) -> list[float | None]:
    """The measured rate of each member, or of the one run: the factor by which ‖v‖ shrinks in a step."""
    return [None if isinstance(line, str) else float(np.exp(line[0])) for line in fits(log)]


def fits(log: Log) -> list[Fit | str]:
    """For each member, or the one run, the line fitted to log ‖v‖, or why there is none."""
    sizes = gradient_sizes(log)
    if sizes is None:
        return ["no gradients were recorded"] * (log.members or 1)
    turns = [0.0] * sizes[1].shape[1]
    for m, one in enumerate(spectra(log) or []):
        if one.update is not None and one.leading:  # else the slowest eigenvalue is not known
            turns[m] = period_of(log) * float(steps_per_turn(_moving(log, one.update, one.J)))
    steps, v, floor = sizes
    return [fitted_line(steps, e, f, t) for e, f, t in zip(v.T, floor.T, turns, strict=True)]


def update_eigenvalues(log: Log) -> list[NDArray[Any]] | None:
    """Each member's eigenvalues (n,) of F', with NaN for neutral directions; None where not all of them are known."""
    found = spectra(log)
    if not found or not all(s.J.complete is True and s.update and s.update.complete is True for s in found):
        return None
    return [_moving(log, s.update, s.J) for s in found if s.update is not None]


def _moving(log: Log, update: Known, J: Known) -> NDArray[Any]:
    """The certain eigenvalues of F' but for those of neutral directions."""
    return without_neutral(update, J, rounding_of(dtype_of(log), J))


def gradient_sizes(log: Log) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Steps (k,), ‖v‖ over all players (k, members), and the part of it that may be rounding (k, members)."""
    if "step/gradient_norms" not in log or not log.length("step"):
        return None
    v = norm(log["step/gradient_norms"]).reshape(log.length("step"), -1)
    floor = np.zeros(v.shape)
    values = last(log, "spectrum/eigenvalues")
    if values is not None and "step/parameter_norms" in log:  # a rounding error δ of θ changes v by J δ
        theta = norm(log["step/parameter_norms"]).reshape(v.shape)
        eps = np.finfo(np.float32 if dtype_of(log) == "float32" else np.float64).eps
        floor = 1e3 * eps * np.nan_to_num(radius(values)) * theta
    if log.members is not None and "step/parameter_norms" in log:  # a member that diverged no longer moves
        as_last = (log["step/parameter_norms"] == log.read("step/parameter_norms", -1)).all(axis=-1)  # (k, members)
        stopped = np.flip(np.logical_and.accumulate(np.flip(as_last, 0), axis=0), 0)
        floor = np.where(stopped & diverged(log) & (np.cumsum(stopped, axis=0) > 1), np.inf, floor)
    return log["step/step"], v, floor


def diverged(log: Log) -> NDArray[np.bool_]:
    """Which members (members,) of an ensemble have diverged."""
    gone, named = np.zeros(log.members or 1, dtype=bool), log.status.get("diverged_members")
    for m in named if isinstance(named, list) else []:
        if isinstance(m, int) and 0 <= m < len(gone):
            gone[m] = True
    return gone


def dtype_of(log: Log) -> str:
    """The dtype that the run computed in."""
    return str(log.run.get("dtype", "float64"))


def period_of(log: Log) -> int:
    """The period of the solver, in steps: F' is the derivative of that many steps."""
    period = log.run.get("period", 1)
    return period if isinstance(period, int) and period > 0 else 1


def norm(x: NDArray[Any]) -> NDArray[Any]:
    """The norm along the last axis, computed so that squares do not overflow."""
    return np.asarray(np.hypot.reduce(x, axis=-1))
