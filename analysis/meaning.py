"""What spectra say: of one point, and of the last point of a log whose spectrum was recorded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .asked import descends
from .conditioning import EPSILON, conditioning, largest_step, neutral, phase, radius, slowest, steps_to, without
from .course import ROUNDING, dtype_of, fits, last, norm, period_of
from .equilibrium import KINDS, distance, joint_part, kind_of
from .reader import Log


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
    whether all eigenvalues are there; ``led`` is the leader's curvature, if it has one. F' is of ``period`` steps.
    Where the solver is ``descending`` a field w, θ − lr w, the eigenvalues 1 − λ(F') of lr w' have ``step_phase``,
    ``step_conditioning``, and a ``step_multiple``: lr may be less than so many times itself. What is infinite is inf.
    ``neutral`` eigenvalues of J are 0 beside the others: all but ``min_real``, ``update_radius`` and the kind are told
    without them, as of the way to the nearest equilibrium of many.
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
    still = neutral(eigenvalues, rounding)
    others, count = np.where(still, np.nan, eigenvalues), int(still.sum())
    facts: dict[str, Any] = {
        "neutral": count,
        "phase": float(phase(others, rounding)),
        "conditioning": float(conditioning(others, rounding)),
        "largest_step": float(largest_step(others, rounding)),
        "min_real": float(slowest(eigenvalues)),
    }
    known = int(np.isfinite(eigenvalues).sum())
    facts["complete"] = None if sizes is None else known == sum(sizes.values())
    if update is not None:
        moved = without(update, count, rounding)
        rho = float(radius(moved))
        facts |= {"update_radius": float(radius(update)), "period": period, "predicted_rate": rho ** (1 / period)}
        facts |= {"epsilon": EPSILON, "steps_to_epsilon": float(steps_to(rho)) * period}
        if descending:
            w = 1 - moved
            facts["step_phase"] = float(phase(w, rounding))
            facts["step_conditioning"] = float(conditioning(w, rounding))
            facts["step_multiple"] = float(largest_step(w, rounding))
    if own is not None:
        facts["joint_part"] = np.nan if facts["complete"] is False else joint_part(eigenvalues, own)
        away = 0.0
        if gradient is not None and parameters is not None:
            away = distance(gradient, parameters, eigenvalues)
        found = kind_of(eigenvalues, own, update, away=away, led=led, rounding=max(rounding, 1e-9))
        words = "" if found is None else _hedged(found.words, facts["complete"], count)
        facts["kind"] = None if found is None else {**found.facts(), "words": words}
    return facts


def _hedged(words: str, complete: bool | None, neutral: int) -> str:
    if neutral:
        words += f"; neutral in {neutral} direction{'s' * (neutral > 1)}, where λ(J) = 0"
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
    rows = [last(log, f"spectrum/{key}") for key in keys]
    rows += [_joint_at_spectrum(log, f"step/{key}") for key in ("gradient_norms", "parameter_norms")]
    found = []
    for m, line in zip([None] if log.members is None else range(log.members), fits(log), strict=True):
        values, own, update, led, v, theta = (x if x is None or m is None else x[m] for x in rows)
        if values is None:  # there are rows of the spectrum
            continue
        blocks = None if own is None else dict(zip(log.players, own, strict=True))
        facts = point(values, blocks, update, gradient=_float(v), parameters=_float(theta), led=_float(led), **fixed)
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


_COMMON = ("epsilon", "period")  # to all members


def _float(x: NDArray[Any] | None) -> float | None:
    return None if x is None else float(x)


def _joint_at_spectrum(log: Log, key: str) -> NDArray[Any] | None:
    """The norm over all players, ([members],), at the step of the last spectrum; None where that step has no row."""
    if key not in log:
        return None
    at = np.flatnonzero(log["step/step"] == log.read("spectrum/step", -1)[0])
    return norm(log.read(key, int(at[-1]), int(at[-1]) + 1)[0]) if len(at) else None


def lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What `point` or `meaning` found as label -> text; an ensemble's numbers as their median."""
    shown: dict[str, str] = {}
    for key, label in _LABELS.items():
        if key == "neutral" and not np.any(facts.get(key, 0)):
            continue
        missing = np.inf if key in _INFINITE and facts.get("min_real") is not None else np.nan
        if key in facts and (text := _text(facts[key], missing)):
            shown[label] = _bound(key, facts.get("complete")) + text
        elif key == "measured_rate" and isinstance(facts.get("unmeasured"), str):
            shown[label] = f"none: {facts['unmeasured']}"
    if facts.get("kind"):
        counts = facts["kind"].get("counts")
        shown["kind of point"] = (
            facts["kind"]["words"]
            if counts is None
            else ", ".join(f"{n} {KINDS.get(name, name)}" for name, n in counts.items())
        )
    return shown


def eigenvalue(z: complex, largest: float = 0.0, rounding: float = 1e-12, digits: int = 6) -> str:
    """``z`` as text, 0 for a part that is rounding beside |z|, or beside ``largest``, the modulus of another."""
    zero = max(math.hypot(rounding * z.real, rounding * z.imag), 1e-3 * rounding * largest)
    re, im = (0.0 if abs(part) <= zero else part for part in (z.real, z.imag))
    return f"{re:.{digits}g}" + (f"{im:+.{digits}g}i" if im else "")


_LABELS = {
    "neutral": "eigenvalues of J that are 0, set aside",
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
