"""What spectra say: of one point, and of the last point of a log whose spectrum was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .asked import descends
from .conditioning import EPSILON, conditioning, largest_step, phase, radius, slowest, steps_to
from .equilibrium import KINDS, distance, joint_part, kind_of
from .rate import measured_rate
from .reader import Log

ROUNDING = {"float32": 1e-5, "float64": 1e-12}  # of eigenvalues, relative to the largest


def point(
    eigenvalues: NDArray[Any],
    own: Mapping[str, NDArray[Any]] | None,
    update: NDArray[Any] | None,
    *,
    gradient: float | None = None,
    parameters: float | None = None,
    sizes: Mapping[str, int] | None = None,
    led: float | None = None,
    dtype: str = "float64",
    period: int = 1,
    descending: bool = False,
) -> dict[str, Any]:
    """What the eigenvalues of J (n,), of the players' own blocks, and of F', say of one point.

    ``gradient`` and ``parameters`` are the norms of v and θ, ``sizes`` the players' numbers of parameters, which tell
    whether all eigenvalues are there; ``led`` is the leader's curvature, if it has one. F' is of ``period`` steps. Where the solver is
    ``descending`` a field w, θ − lr w, the eigenvalues 1 − λ(F') of lr w' have ``step_phase``,
    ``step_conditioning``, and a ``step_multiple``: lr may be less than so many times itself. What is infinite is inf.
    Where ``complete`` is False only leading eigenvalues are known, so that these are bounds: of ζ, τ, ρ(F') and what
    follows from it lower ones, of steps upper ones; a ``joint_part`` is then unknown.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what has blown up says so by itself
        return _point(
            eigenvalues, own, update, gradient, parameters, sizes, led, ROUNDING.get(dtype, 1e-5), period, descending
        )


def _point(
    eigenvalues: NDArray[Any],
    own: Mapping[str, NDArray[Any]] | None,
    update: NDArray[Any] | None,
    gradient: float | None,
    parameters: float | None,
    sizes: Mapping[str, int] | None,
    led: float | None,
    rounding: float,
    period: int,
    descending: bool,
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "phase": float(phase(eigenvalues, rounding)),
        "conditioning": float(conditioning(eigenvalues, rounding)),
        "largest_step": float(largest_step(eigenvalues, rounding)),
        "min_real": float(slowest(eigenvalues)),
    }
    known = int(np.isfinite(eigenvalues).sum())
    facts["complete"] = None if sizes is None else known == sum(sizes.values())
    if update is not None:
        rho = float(radius(update))
        facts |= {"update_radius": rho, "predicted_rate": rho ** (1 / period)}
        facts |= {"epsilon": EPSILON, "steps_to_epsilon": float(steps_to(rho)) * period}
        if descending:
            w = 1 - np.asarray(update)
            facts["step_phase"] = float(phase(w, rounding))
            facts["step_conditioning"] = float(conditioning(w, rounding))
            facts["step_multiple"] = float(largest_step(w, rounding))
    if own is not None:
        facts["joint_part"] = np.nan if facts["complete"] is False else joint_part(eigenvalues, own)
        away = 0.0
        if gradient is not None and parameters is not None:
            away = distance(gradient, parameters, eigenvalues)
        found = kind_of(eigenvalues, own, update, away=away, led=led, rounding=max(rounding, 1e-9))
        facts["kind"] = None if found is None else {**found.facts(), "words": _hedged(found.words, facts["complete"])}
    return facts


def _hedged(words: str, complete: bool | None) -> str:
    return f"{words} (as far as the eigenvalues found say)" if complete is False else words


def meaning(log: Log) -> dict[str, Any] | None:
    """What the last recorded spectrum says, with the measured rate beside the predicted one; None without a spectrum.

    An ensemble has lists, one value for each member, and of ``kind`` the ``counts`` by name.
    """
    if "spectrum/eigenvalues" not in log or not log.length("spectrum"):
        return None
    sizes = log.run.get("players")
    whole = isinstance(sizes, Mapping) and set(sizes) == set(log.players)
    if isinstance(sizes, Mapping) and not all(isinstance(n, int) and 0 <= n < 2**63 for n in sizes.values()):
        whole = False
    fixed: dict[str, Any] = {
        "sizes": {i: int(sizes[i]) for i in log.players} if whole and isinstance(sizes, Mapping) else None,
        "dtype": dtype_of(log),
        "period": period_of(log),
        "descending": descends(log.experiment),
    }
    keys = ("eigenvalues", "block_eigenvalues", "update_eigenvalues", "leader_curvature")
    rows = [_last(log, f"spectrum/{key}") for key in keys]
    rows += [_joint_at_spectrum(log, f"step/{key}") for key in ("gradient_norms", "parameter_norms")]
    found = []
    for m, rate in zip([None] if log.members is None else range(log.members), rates(log), strict=True):
        values, own, update, led, v, theta = (x if x is None or m is None else x[m] for x in rows)
        assert values is not None
        blocks = None if own is None else dict(zip(log.players, own, strict=True))
        facts = point(values, blocks, update, gradient=_float(v), parameters=_float(theta), led=_float(led), **fixed)
        found.append({**facts, "measured_rate": rate})
    if log.members is None:
        return found[0]
    merged: dict[str, Any] = {k: [f[k] for f in found] for k in found[0] if k not in ("kind", "epsilon")}
    merged |= {k: found[0][k] for k in ("epsilon",) if k in found[0]}
    if "kind" in found[0]:
        kinds = [f["kind"] or {"name": "unknown", "curvature": "unknown"} for f in found]
        counts = [dict(Counter(k[what] for k in kinds).most_common()) for what in ("name", "curvature")]
        merged["kind"] = {"counts": counts[0], "curvatures": counts[1]}
    return merged


def rates(log: Log) -> list[float | None]:
    """The measured rate of each member, or of the one run: how v shrinks from step to step."""
    sizes = gradient_sizes(log)
    if sizes is None:
        return [None] * (log.members or 1)
    return [measured_rate(sizes[0], e, f) for e, f in zip(sizes[1].T, sizes[2].T, strict=True)]


def gradient_sizes(log: Log) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """Steps (k,), ‖v‖ over all players (k, members), and what of it rounding could make up (k, members)."""
    if "step/gradient_norms" not in log or not log.length("step"):
        return None
    v = np.linalg.norm(log["step/gradient_norms"], axis=-1).reshape(log.length("step"), -1)
    floor = np.zeros(v.shape)
    values = _last(log, "spectrum/eigenvalues")
    if values is not None and "step/parameter_norms" in log:  # θ is off by its rounding, and J makes a v of that
        theta = np.linalg.norm(log["step/parameter_norms"], axis=-1).reshape(v.shape)
        eps = np.finfo(np.float32 if dtype_of(log) == "float32" else np.float64).eps
        floor = 1e3 * eps * np.nan_to_num(radius(values)) * theta
    if log.members is not None and "step/parameter_norms" in log:  # a member that diverged stands where it last was
        still = (log["step/parameter_norms"] == log.read("step/parameter_norms", -1)).all(axis=-1)  # (k, members)
        stopped = np.flip(np.logical_and.accumulate(np.flip(still, 0), axis=0), 0)
        floor = np.where(stopped & diverged(log) & (np.cumsum(stopped, axis=0) > 1), np.inf, floor)
    return log["step/step"], v, floor


def diverged(log: Log) -> NDArray[np.bool_]:
    """Which members (members,) of an ensemble did not stay finite."""
    gone, named = np.zeros(log.members or 1, dtype=bool), log.status.get("diverged_members")
    for m in named if isinstance(named, list) else []:
        if isinstance(m, int) and 0 <= m < len(gone):
            gone[m] = True
    return gone


def dtype_of(log: Log) -> str:
    return str(log.run.get("dtype", "float64"))


def period_of(log: Log) -> int:
    """Steps after which the solver repeats itself: F' is of so many."""
    period = log.run.get("period", 1)
    return period if isinstance(period, int) and period > 0 else 1


def _float(x: NDArray[Any] | None) -> float | None:
    return None if x is None else float(x)


def _last(log: Log, key: str) -> NDArray[Any] | None:
    return log.read(key, -1)[0] if key in log and log.length(key.partition("/")[0]) else None


def _joint_at_spectrum(log: Log, key: str) -> NDArray[Any] | None:
    """The norm over all players, ([members],), at the step of the last spectrum; None where that step has no row."""
    if key not in log:
        return None
    at = np.flatnonzero(log["step/step"] == log.read("spectrum/step", -1)[0])
    return np.linalg.norm(log.read(key, int(at[-1]), int(at[-1]) + 1)[0], axis=-1) if len(at) else None


def lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What `point` or `meaning` found as label -> text; an ensemble's numbers as their median."""
    shown: dict[str, str] = {}
    for key, label in _LABELS.items():
        missing = np.inf if key in _INFINITE and facts.get("min_real") is not None else np.nan
        if key in facts and (text := _text(facts[key], missing)):
            shown[label] = _bound(key, facts.get("complete")) + text
    if facts.get("kind"):
        counts = facts["kind"].get("counts")
        shown["kind of point"] = (
            facts["kind"]["words"]
            if counts is None
            else ", ".join(f"{n} {KINDS.get(name, name)}" for name, n in counts.items())
        )
    return shown


_LABELS = {
    "phase": "phase ζ = max |Im λ/Re λ|",
    "conditioning": "conditioning τ = max |λ|/min |λ|",
    "largest_step": "largest stable simgd step",
    "step_phase": "ζ of the step",
    "step_conditioning": "τ of the step",
    "step_multiple": "stable for lr times less than",
    "steps_to_epsilon": f"steps to shrink the error to {EPSILON:g}",
    "predicted_rate": "predicted rate a step",
    "measured_rate": "measured rate a step",
    "joint_part": "stability owed to joint play",
}


# What is infinite is null in JSON, as what is unknown; of these, only no eigenvalue at all makes an unknown.
_INFINITE = ("phase", "conditioning", "step_phase", "step_conditioning", "steps_to_epsilon")


def _bound(key: str, complete: Any) -> str:
    """What only leading eigenvalues can say of a largest or a least one; a list is an ensemble's, whose first tells."""
    known = complete[0] if isinstance(complete, list) and complete else complete
    if known is not False or key in ("measured_rate", "joint_part"):
        return ""
    return "≤ " if key in ("largest_step", "step_multiple") else "≥ "


def _text(value: Any, missing: float) -> str:
    each = value if isinstance(value, list) else [value]
    values = np.array([missing if v is None else v for v in each], dtype=float)
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return ""
    middle = known[len(known) // 2]
    text = "∞" if np.isinf(middle) else f"{middle:.6g}"
    return text if not isinstance(value, list) else f"median {text} of {len(known)}"
