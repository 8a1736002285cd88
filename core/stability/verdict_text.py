"""The facts of a point as text. A bound has "≥" or "≤" before it; a number that is not known is "unknown"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .conditioning import EPSILON
from .number_format import number_text, rate_text
from .verdict_table import KINDS

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
_RATES = ("update_radius", "predicted_rate", "measured_rate")


def lines(facts: Mapping[str, Any], digits: int = 6) -> dict[str, str]:
    """The facts of `point_verdict` or `log_verdict.meaning` as label -> text; of an ensemble's numbers the median.

    Numbers have so many ``digits``; bounds are rounded to the safe side.
    """
    shown: dict[str, str] = {}
    for key, label in _LABELS.items():
        if key == "neutral" and not np.any(facts.get(key, 0)):
            continue
        if key == "measured_rate" and isinstance(facts.get("unmeasured"), str):
            shown[label] = f"none: {facts['unmeasured']}"
        elif text := number(facts, key, digits):
            shown[label] = text
    if facts.get("kind"):
        counts = facts["kind"].get("counts")
        shown["kind of point"] = (
            facts["kind"]["words"]
            if counts is None
            else ", ".join(f"{n} {KINDS.get(name, name)}" for name, n in counts.items())
        )
    return shown


def number(facts: Mapping[str, Any], key: str, digits: int = 6) -> str:
    """The number ``facts[key]`` of a verdict as text; "unknown" if it is not known, "" if it is missing.

    Facts read from JSON have None for infinity and for unknown numbers; ``facts["unknown"]`` names the unknown ones.
    """
    if key not in facts:
        return ""
    value, unknown, bounds = facts[key], facts.get("unknown", ()), facts.get("bounds", {})
    many = isinstance(value, list)
    unknown_names = unknown if many else [unknown]
    signs = bounds if many else [bounds]
    instead = [np.nan if key == "measured_rate" or key in names else np.inf for names in unknown_names]
    pairs = zip(value if many else [value], instead, strict=True)
    values = np.array([other if v is None else v for v, other in pairs], dtype=float)
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return "" if key == "measured_rate" else "unknown"
    sign = next((one[key] for one in signs if key in one), "")  # if one number is a bound, the median is a bound
    errors = facts.get("errors", {})
    error = max((one.get(key) or 0.0 for one in (errors if many else [errors])), default=0.0)
    middle = float(np.median(known))
    if key in _RATES:
        text = rate_text(middle, digits, sign, error)
    else:
        text = number_text(middle, digits, sign, error, np.nanmax(facts["max_modulus"]) if key == "min_real" else 0.0)
    return f"median {text} of {len(known)}" if many else text


def eigenvalue(z: complex, largest: float = 0.0, rounding: float = 1e-12, digits: int = 6) -> str:
    """``z`` as text. A real or imaginary part that rounding could make up is shown as 0.

    ``rounding`` is relative to |z|, and a thousandth of it to ``largest``, the largest modulus of the spectrum.
    """
    zero = max(math.hypot(rounding * z.real, rounding * z.imag), 1e-3 * rounding * largest)
    re, im = (0.0 if abs(part) <= zero else part for part in (z.real, z.imag))
    return f"{re:.{digits}g}" + (f"{im:+.{digits}g}i" if im else "")
