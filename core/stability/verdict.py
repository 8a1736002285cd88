"""All that spectra say of one point: the main function is `point_verdict`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .certainty import Found, Known, known, rounding_of, without_neutral
from .conditioning import EPSILON, conditioning, largest_step, neutral, phase, radius, slowest, steps_to
from .equilibrium import Kind, kind_of, rest_of, stability_from_joint_play
from .number_format import EXACT

MAX_ERROR = 1e-3  # relative error of an eigenvalue up to which ratios of eigenvalues are given


def point_verdict(
    eigenvalues: Found,
    own: Mapping[str, Found] | None,
    update: Found | None,
    *,
    update_far: Found | None = None,
    gradient: float | None = None,
    parameters: float | None = None,
    noise: float | None = None,
    mean_gradient: float | None = None,
    newton: tuple[float, float, float] = (math.nan, math.nan, math.nan),
    at_boundary: bool = False,
    sizes: Mapping[str, int] | None = None,
    state_size: int | None = None,
    leader_curvature: float | None = None,
    dtype: str = "float64",
    period: int = 1,
    descending: bool = False,
    changing: bool = False,
    jacobian: Any = None,
) -> dict[str, Any]:
    """Return the facts that the eigenvalues of J (n,), of the players' own blocks and of F' give of one point.

    Arguments:
        eigenvalues: those of J; this and the other spectra are arrays or mappings (`certainty.Found`).
        own: those of each player's own block.
        update: those of F' of largest modulus, and ``update_far`` those farthest from 1. F' is the derivative of
            ``period`` steps; its state has ``state_size`` numbers.
        gradient: the norm of v on one batch; ``parameters`` the norm of θ; ``noise``, ``mean_gradient``, ``newton``
            and ``at_boundary`` as in `rest_of`.
        sizes: the number of parameters of each player. Without it, it is unknown whether all eigenvalues are there.
        leader_curvature: as in `kind_of`.
        descending: whether a step is θ − lr w(θ) with a w that does not depend on lr.
        changing: whether the same v makes another step later on (`steps_change`). Then F' is that of one step, and
            where the steps lead is unknown.
        jacobian: what the run's check of J found. Where J is not the derivative of v, the kind of point is unknown.

    Facts, among others:
        neutral: the number of eigenvalues of J that are 0 while others are not. All numbers but ``min_real``,
            ``update_radius`` and the kind leave them out: they describe the way to the nearest of many equilibria.
        step_phase, step_conditioning, step_multiple: for a descending solver, phase and conditioning of lr w', whose
            eigenvalues are 1 − λ(F'), and the factor below which lr may be multiplied.
        complete, update_complete: whether the whole spectrum of J and of F' is certain; None where that is unknown.
        rounding: the share of the largest modulus up to which an eigenvalue counts as 0.
        bounds: name -> "≥" or "≤", for facts that are bounds because a spectrum is not complete.
        errors: by how much ρ(F'), the predicted rate, min Re λ and the largest modulus may be off.
        unknown: the names of facts that are not known; they are NaN here.

    Only certain eigenvalues count. Infinite facts are inf.
    """
    N = None if sizes is None else sum(sizes.values())
    J = known(eigenvalues, N)
    blocks = {i: known(x, None if sizes is None else sizes.get(i), symmetric=True) for i, x in (own or {}).items()}
    F = None if update is None else known(update, state_size, N or 0)
    if F is not None and update_far is not None:
        F = F.with_others(known(update_far, about=1.0))
    rounding = rounding_of(dtype, J)
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that has blown up: its numbers show it
        facts, bounds = _of_jacobian(J, rounding)
        facts["rounding"] = rounding
        if F is not None:
            more, signs = _of_update(F, J, rounding, period, descending)
            facts, bounds = {**facts, **more}, {**bounds, **signs}
        if own is not None:
            facts["joint_part"] = stability_from_joint_play(J, blocks)
            least = max(rounding, 1e-9)
            rest = rest_of(
                gradient, parameters, J, noise=noise, mean=mean_gradient, newton=newton, at_boundary=at_boundary
            )
            negligible = float(np.finfo(np.float64 if rounding < 1e-9 else np.float32).eps) / 10
            found = kind_of(
                J, blocks, None if changing else F, rest=rest, leader_curvature=leader_curvature, rounding=least,
                negligible=negligible, bounded=at_boundary,
            )  # fmt: skip
            drawn = noise is not None and noise > 0
            facts["kind"] = None if found is None else _kind(found, facts["neutral"], jacobian, drawn)
    if at_boundary:  # what the flow does, and what steps it allows, J does not say at a boundary
        facts |= {key: math.nan for key in ("largest_step", "step_multiple", "joint_part") if key in facts}
    if changing:
        facts |= {key: math.nan for key in ("predicted_rate", "steps_to_epsilon") if key in facts}
    for key, least in _LEAST.items():  # a lower bound that always holds says nothing
        if key in facts and key in bounds and facts[key] <= least:
            facts[key] = math.nan
    facts["errors"] = {} if F is None else dict.fromkeys(("update_radius", "predicted_rate"), F.radius_error)
    facts["errors"] |= {"min_real": J.real_error, "max_modulus": J.radius_error}
    facts["unknown"] = [k for k, x in facts.items() if isinstance(x, float) and math.isnan(x)]
    facts["bounds"] = {k: sign for k, sign in bounds.items() if k in facts and not _settled(k, facts[k])}
    return facts


_LEAST = {"phase": 0.0, "conditioning": 1.0, "step_phase": 0.0, "step_conditioning": 1.0}


def _settled(key: str, x: float) -> bool:
    """Whether a bound is the value itself (nothing is above infinity, no step below 0), or is NaN and so no bound."""
    return not math.isfinite(x) or (x == 0 and key in ("largest_step", "step_multiple"))


def _of_jacobian(J: Known, rounding: float) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts from eigenvalues of J, and which of them are bounds (name -> sign)."""
    values, rounding = J.certain, J.rounding(rounding)
    is_neutral = neutral(values, rounding)
    others = np.where(is_neutral, np.nan, values)
    facts: dict[str, Any] = {
        "neutral": int(is_neutral.sum()),
        "phase": float(phase(others, rounding)),
        "conditioning": float(conditioning(others, rounding)),
        "largest_step": float(largest_step(others, rounding)),
        "min_real": float(slowest(values)),
        "max_modulus": J.radius,
        "complete": J.complete,
    }
    error = J.error[np.isfinite(J.error)]
    if too_inexact(others, error):
        facts["conditioning"] = math.nan
    if too_inexact(others, error, real=True):
        facts |= dict.fromkeys(("phase", "largest_step"), math.nan)
    least = dict.fromkeys(("neutral", "phase", "conditioning", "max_modulus"), "≥")
    most = dict.fromkeys(("largest_step", "min_real"), "≤")
    return facts, {} if J.complete is True else least | most


def _of_update(
    F: Known, J: Known, rounding: float, period: int, descending: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts from eigenvalues of F', and which of them are bounds (name -> sign)."""
    values, rounding = without_neutral(F, J, rounding), F.rounding(rounding)
    errors = F.error[np.isfinite(F.error)][: len(values)]
    exact_enough = not too_inexact(np.append(1 - values, 1.0), np.append(errors, 0.0))
    rho = float(radius(values)) if exact_enough else math.nan
    steps = math.nan if EXACT < abs(1 - rho) < F.radius_error / MAX_ERROR else float(steps_to(rho)) * period
    facts: dict[str, Any] = {
        "update_radius": F.radius if F.differentiable else math.nan,
        "period": period,
        "predicted_rate": rho ** (1 / period),
        "epsilon": EPSILON,
        "steps_to_epsilon": steps,
        "update_complete": F.complete if F.differentiable else None,
    }
    if descending:
        w = 1 - values if exact_enough else values[:0]
        facts["step_conditioning"] = float(conditioning(w, rounding))
        w = values[:0] if too_inexact(w, errors[: len(w)], real=True) else w
        facts["step_phase"] = float(phase(w, rounding))
        facts["step_multiple"] = float(largest_step(w, rounding))
    bounds = {} if F.complete is True else {"update_radius": "≥"}
    if F.complete is not True or J.complete is not True:
        bounds |= dict.fromkeys(("predicted_rate", "steps_to_epsilon", "step_phase", "step_conditioning"), "≥")
        bounds["step_multiple"] = "≤"
    return facts, bounds


def too_inexact(values: NDArray[np.complex128], error: NDArray[np.float64], real: bool = False) -> bool:
    """Whether the error (n,) of one of ``values`` (n,) is so large a share of it that ratios of them are not known.

    ``real``: of their real parts.
    """
    size = np.abs(values.real) if real else np.abs(values)
    exact = EXACT * np.nanmax(np.abs(values), initial=0.0)
    return bool((error > np.fmax(MAX_ERROR * size, exact)).any())


def _kind(found: Kind, neutral: int, jacobian: Any, drawn: bool) -> dict[str, str]:
    """The facts of a verdict; "unknown" ones where J is not the derivative of v."""
    if (why := differs(jacobian)) is not None:
        unknown = dict.fromkeys(("equilibrium", "step", "flow", "curvature"), "unknown")
        return {**found.facts(), **unknown, "name": "unknown", "words": why, "because": why}
    words = found.words
    if neutral:
        words += f"; neutral in {neutral} direction{'s' * (neutral > 1)}, where λ(J) = 0"
    if drawn:  # where the next batch has another J, this may not hold
        words += "; J and F' are those of one batch"
    return {**found.facts(), "words": words}


def differs(jacobian: Any) -> str | None:
    """Why J is not the derivative of the v that is played, by the run's check of J; None unless the check found so."""
    if not isinstance(jacobian, Mapping) or jacobian.get("status") != "differs":
        return None
    return str(jacobian.get("words") or "J is not the derivative of v: what is played is not what J says.")


def jacobian_check_in_words(jacobian: Any) -> str:
    """The result of the run's check whether J is the derivative of v, in words; "" where it is."""
    words = str(jacobian.get("words") or "") if isinstance(jacobian, Mapping) else ""
    unknown = isinstance(jacobian, Mapping) and jacobian.get("status") == "unknown"
    return differs(jacobian) or (f"not known to be its derivative: {words}" if unknown else "")
