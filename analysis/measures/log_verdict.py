"""The verdict on the last point of a log whose spectrum was recorded, with the measured rate of convergence."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.stability.step_sizes import descends, step_size_policy, steps_change
from ...core.stability.verdict import jacobian_check_in_words, point_verdict
from ...core.stability.verdict_text import eigenvalue, lines, number
from ..log.log import Log
from .convergence import dtype_of, fits, norm, period_of
from .recorded_spectra import jacobian_check, last, sizes_of, spectra

__all__ = [
    "descends",
    "eigenvalue",
    "jacobian_check_in_words",
    "lines",
    "meaning",
    "number",
    "point_verdict",
]


def meaning(log: Log) -> dict[str, Any] | None:
    """The facts of `point_verdict` for the last recorded spectrum, with the measured rate; None without a spectrum.

    For an ensemble the facts are lists, with a value for each member, and ``kind`` has the ``counts`` by name.
    """
    recorded = spectra(log)
    if recorded is None:
        return None
    fixed: dict[str, Any] = {
        "sizes": sizes_of(log),
        "dtype": dtype_of(log),
        "period": period_of(log),
        "descending": descends(log.experiment),
        "jacobian": jacobian_check(log),
    }
    given = {"gradient": _gradient(log), "parameters": _joint_at_spectrum(log, "step/parameter_norms")}
    keys = {"leader_curvature": "leader_curvature", "noise": "gradient_noise", "mean_gradient": "mean_gradient_norm"}
    given |= {name: last(log, f"spectrum/{key}") for name, key in keys.items()}
    newton = [last(log, f"spectrum/newton_{name}") for name in ("norm", "noise", "remainder")]
    boundary, policy = last(log, "spectrum/at_boundary"), step_size_policy(log.run)
    found = []
    for m, (one, line) in enumerate(zip(recorded, fits(log), strict=True)):
        numbers: dict[str, Any] = {k: _float(x if x is None or log.members is None else x[m]) for k, x in given.items()}
        numbers["newton"] = tuple(math.nan if x is None else float(x.reshape(-1)[m]) for x in newton)
        numbers["at_boundary"] = boundary is not None and bool(boundary.reshape(-1)[m] == 1)
        changing = steps_change(policy, _noise_of_players(log, m, numbers["noise"]))
        facts = point_verdict(one.J, one.blocks, one.update, **numbers, **fixed, changing=changing)
        none = isinstance(line, str)
        facts |= {"measured_rate": None if none else float(np.exp(line[0])), "unmeasured": line if none else None}
        found.append(facts)
    if log.members is None:
        return found[0]
    merged: dict[str, Any] = {k: [f[k] for f in found] for k in found[0] if k not in ("kind", *_COMMON)}
    merged |= {k: found[0][k] for k in _COMMON if k in found[0]}
    if "kind" in found[0]:
        kinds = [f["kind"] or {"name": "unknown", "curvature": "unknown"} for f in found]
        counts = [dict(Counter(k[what] for k in kinds).most_common()) for what in ("name", "curvature")]
        merged["kind"] = {"counts": counts[0], "curvatures": counts[1]}
    return merged


_COMMON = ("epsilon", "period", "rounding")  # facts that all members have in common


def _float(x: NDArray[Any] | None) -> float | None:
    return None if x is None or np.isnan(x) else float(x)


def _noise_of_players(log: Log, member: int, noise: float | None) -> list[float] | None:
    """The deviations of each player's part of v between batches; in logs that do not have them, that of all of v."""
    if (own := last(log, "spectrum/player_noise")) is not None:
        return [float(x) for x in own.reshape(-1, len(log.players))[member]]
    return None if noise is None else [noise]


def _gradient(log: Log) -> NDArray[Any] | None:
    """‖v‖ ([members],) on the probe batch of the spectra; in logs that do not have it, on the batch of the step."""
    probe = last(log, "spectrum/gradient_norm")
    return _joint_at_spectrum(log, "step/gradient_norms") if probe is None else probe


def _joint_at_spectrum(log: Log, key: str) -> NDArray[Any] | None:
    """The norm over all players, ([members],), at the step of the last spectrum; None if that step has no row."""
    if key not in log:
        return None
    at = np.flatnonzero(log["step/step"] == log.read("spectrum/step", -1)[0])
    return norm(log.read(key, int(at[-1]), int(at[-1]) + 1)[0]) if len(at) else None
