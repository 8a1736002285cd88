"""What spectra say of one point."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .certainty import Found, Known, known, moving
from .conditioning import EPSILON, ROUNDING, conditioning, largest_step, neutral, phase, radius, slowest, steps_to
from .equilibrium import Kind, joint_part, kind_of, rest_of
from .numerals import EXACT

BLURRED = 1e-3  # the largest share of itself that an eigenvalue may be off by where ratios of several are told


def point(
    eigenvalues: Found,
    own: Mapping[str, Found] | None,
    update: Found | None,
    *,
    update_far: Found | None = None,
    gradient: float | None = None,
    parameters: float | None = None,
    noise: float | None = None,
    mean_gradient: float | None = None,
    sizes: Mapping[str, int] | None = None,
    state_size: int | None = None,
    led: float | None = None,
    dtype: str = "float64",
    period: int = 1,
    descending: bool = False,
    jacobian: Any = None,
) -> dict[str, Any]:
    """What the eigenvalues of J (n,), of the players' own blocks, and of F', say of one point.

    ``update`` are eigenvalues of F' of largest modulus, ``update_far`` those farthest from 1, of a state of
    ``state_size`` numbers; ``gradient`` and ``parameters`` are the norms of v on one batch and of θ, for ``noise`` and
    ``mean_gradient`` see `rest_of`; ``sizes`` are the players' numbers of parameters, which tell whether all
    eigenvalues are there; ``led`` is the leader's curvature, if it has one. F' is of ``period`` steps. ``jacobian`` is
    what a run's check of J found: where J is not the derivative of v, the kind of point is unknown.

    Where the solver is ``descending`` a field w, θ − lr w, the eigenvalues 1 − λ(F') of lr w' have ``step_phase``,
    ``step_conditioning``, and a ``step_multiple``: lr may be less than so many times itself. What is infinite is inf.
    ``neutral`` eigenvalues of J are 0 beside the others: all but ``min_real``, ``update_radius`` and the kind are told
    without them, as of the way to the nearest equilibrium of many.

    ``errors`` are how far the radius, the least real part and the largest modulus may be off.

    Only what is certain counts. ``complete`` and ``update_complete`` say whether that is the whole spectrum of J and of
    F', None where it cannot be told; where it is not, ``bounds`` say of which figures what is known is "≥" or "≤" only.
    ``unknown`` names those of which nothing is known, NaN here: they are no numbers at all.
    """
    N = None if sizes is None else sum(sizes.values())
    J = known(eigenvalues, N)
    blocks = {i: known(x, None if sizes is None else sizes.get(i)) for i, x in (own or {}).items()}
    F = None if update is None else known(update, state_size, N or 0)
    if F is not None and update_far is not None:
        F = F.beside(known(update_far, about=1.0))
    rounding = ROUNDING.get(dtype, 1e-5)
    with np.errstate(over="ignore", invalid="ignore"):  # what has blown up says so by itself
        facts, bounds = _of_jacobian(J, rounding)
        if F is not None:
            more, signs = _of_update(F, J, rounding, period, descending)
            facts, bounds = {**facts, **more}, {**bounds, **signs}
        if own is not None:
            facts["joint_part"] = joint_part(J, blocks)
            least = max(rounding, 1e-9)
            rest = rest_of(gradient, parameters, J, noise=noise, mean=mean_gradient, rounding=least)
            dust = np.finfo(np.float64 if dtype == "float64" else np.float32).eps / 10
            found = kind_of(J, blocks, F, rest=rest, led=led, rounding=least, dust=float(dust))
            facts["kind"] = None if found is None else _kind(found, facts["neutral"], jacobian)
    for key, least in _LEAST.items():  # "at least nothing" is not worth a number
        if key in facts and key in bounds and facts[key] <= least:
            facts[key] = math.nan
    facts["errors"] = {} if F is None else dict.fromkeys(("update_radius", "predicted_rate"), F.radius_error)
    facts["errors"] |= {"min_real": J.real_error, "max_modulus": J.radius_error}
    facts["unknown"] = [k for k, x in facts.items() if isinstance(x, float) and math.isnan(x)]
    facts["bounds"] = {k: sign for k, sign in bounds.items() if k in facts and not _settled(k, facts[k])}
    return facts


_LEAST = {"phase": 0.0, "conditioning": 1.0, "step_phase": 0.0, "step_conditioning": 1.0}


def _settled(key: str, x: float) -> bool:
    """Whether a bound is the value itself, as nothing is more than infinite and no step less than 0; or is none."""
    return not math.isfinite(x) or (x == 0 and key in ("largest_step", "step_multiple"))


def _of_jacobian(J: Known, rounding: float) -> tuple[dict[str, Any], dict[str, str]]:
    """What eigenvalues of J say, and what of it is a bound."""
    values, rounding = J.certain, J.rounding(rounding)
    still = neutral(values, rounding)
    others = np.where(still, np.nan, values)
    facts: dict[str, Any] = {
        "neutral": int(still.sum()),
        "phase": float(phase(others, rounding)),
        "conditioning": float(conditioning(others, rounding)),
        "largest_step": float(largest_step(others, rounding)),
        "min_real": float(slowest(values)),
        "max_modulus": J.radius,
        "complete": J.complete,
    }
    if blurred(others, J.error[np.isfinite(J.error)]):
        facts |= dict.fromkeys(("phase", "conditioning", "largest_step"), math.nan)
    least = dict.fromkeys(("neutral", "phase", "conditioning", "max_modulus"), "≥")
    most = dict.fromkeys(("largest_step", "min_real"), "≤")
    return facts, {} if J.complete is True else least | most


def _of_update(
    F: Known, J: Known, rounding: float, period: int, descending: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """What eigenvalues of F' say, and what of it is a bound."""
    moved, rounding = moving(F, J, rounding), F.rounding(rounding)
    clear = not blurred(np.append(1 - moved, 1.0), np.append(F.error[np.isfinite(F.error)][: len(moved)], 0.0))
    rho = float(radius(moved)) if clear else math.nan
    edge = abs(1 - rho)
    steps = math.nan if EXACT < edge < F.radius_error / BLURRED else float(steps_to(rho)) * period
    facts: dict[str, Any] = {
        "update_radius": F.radius if F.differentiable else math.nan,
        "period": period,
        "predicted_rate": rho ** (1 / period),
        "epsilon": EPSILON,
        "steps_to_epsilon": steps,
        "update_complete": F.complete if F.differentiable else None,
    }
    if descending:
        w = 1 - moved if clear else moved[:0]
        facts["step_phase"] = float(phase(w, rounding))
        facts["step_conditioning"] = float(conditioning(w, rounding))
        facts["step_multiple"] = float(largest_step(w, rounding))
    bounds = {} if F.complete is True else {"update_radius": "≥"}
    if F.complete is not True or J.complete is not True:
        bounds |= dict.fromkeys(("predicted_rate", "steps_to_epsilon", "step_phase", "step_conditioning"), "≥")
        bounds["step_multiple"] = "≤"
    return facts, bounds


def blurred(values: NDArray[np.complex128], error: NDArray[np.float64]) -> bool:
    """Whether one of ``values`` (n,) may be off by so much of itself that no ratio of them is known."""
    size = np.abs(values)
    exact = EXACT * np.nanmax(size, initial=0.0)
    return bool((error > np.fmax(BLURRED * size, exact)).any())


def _kind(found: Kind, neutral: int, jacobian: Any) -> dict[str, str]:
    """The facts of a verdict, which is none where J is not the derivative of v."""
    if (why := differs(jacobian)) is not None:
        unknown = dict.fromkeys(("equilibrium", "step", "flow", "curvature"), "unknown")
        return {**found.facts(), **unknown, "name": "unknown", "words": why, "because": why}
    words = found.words
    if neutral:
        words += f"; neutral in {neutral} direction{'s' * (neutral > 1)}, where λ(J) = 0"
    return {**found.facts(), "words": words}


def differs(jacobian: Any) -> str | None:
    """What a run's check of J says where J is not the derivative of the v that is played; None where it does not."""
    if not isinstance(jacobian, Mapping) or jacobian.get("status") != "differs":
        return None
    return str(jacobian.get("words") or "J is not the derivative of v: what is played is not what J says.")


def beside_v(jacobian: Any) -> str:
    """What there is to say of J beside v: that it is another function's derivative, or may be; "" where it agrees."""
    said = str(jacobian.get("words") or "") if isinstance(jacobian, Mapping) else ""
    unknown = isinstance(jacobian, Mapping) and jacobian.get("status") == "unknown"
    return differs(jacobian) or (f"not known to be its derivative: {said}" if unknown else "")
