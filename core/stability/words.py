"""What was found of a point, as text: with "≥" or "≤" what is a bound, and "unknown" what is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .conditioning import EPSILON
from .numerals import figure, rate
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


def lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """What `point` or `meaning` found as label -> text; an ensemble's numbers as their median."""
    shown: dict[str, str] = {}
    for key, label in _LABELS.items():
        if key == "neutral" and not np.any(facts.get(key, 0)):
            continue
        if key == "measured_rate" and isinstance(facts.get("unmeasured"), str):
            shown[label] = f"none: {facts['unmeasured']}"
        elif text := number(facts, key):
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
    """One figure of `point` or `meaning` as text: a bound with its sign, "unknown" what is none; "" what is not there.

    What is infinite is null in JSON, as what is unknown: ``facts["unknown"]`` tells them apart.
    """
    if key not in facts:
        return ""
    value, unknown, bounds = facts[key], facts.get("unknown", ()), facts.get("bounds", {})
    many = isinstance(value, list)
    each = value if many else [value]
    absent = unknown if many else [unknown]
    signs = bounds if many else [bounds]
    missing = [np.nan if key == "measured_rate" or key in names else np.inf for names in absent]
    values = np.array([m if v is None else v for v, m in zip(each, missing, strict=True)], dtype=float)
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return "" if key == "measured_rate" else "unknown"
    sign = next((one[key] for one in signs if key in one), "")  # a median of bounds and of others is a bound
    off = facts.get("errors", {})
    error = max((one.get(key) or 0.0 for one in (off if many else [off])), default=0.0)
    middle = float(known[len(known) // 2])
    if key in _RATES:
        text = rate(middle, digits, sign, error)
    else:
        text = figure(middle, digits, sign, error, np.nanmax(facts["max_modulus"]) if key == "min_real" else 0.0)
    return f"median {text} of {len(known)}" if many else text


def eigenvalue(z: complex, largest: float = 0.0, rounding: float = 1e-12, digits: int = 6) -> str:
    """``z`` as text, 0 for a part that is rounding beside |z|, or beside ``largest``, the modulus of another."""
    zero = max(math.hypot(rounding * z.real, rounding * z.imag), 1e-3 * rounding * largest)
    re, im = (0.0 if abs(part) <= zero else part for part in (z.real, z.imag))
    return f"{re:.{digits}g}" + (f"{im:+.{digits}g}i" if im else "")
