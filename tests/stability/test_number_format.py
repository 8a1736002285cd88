"""Numbers as text: what may be off says so, bounds stay bounds, and what is not 1 is told from 1."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.stability.number_format import number_text, rate_text
from counterplay.core.stability.verdict import point_verdict
from counterplay.core.stability.verdict_text import lines, number


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((1.0000004,), "1 + 4e-07"),
        ((0.9999999996,), "1 − 4e-10"),
        ((1 + 1e-13,), "1"),
        ((1.28024999, 5), "1.2802"),
        ((1.2802499, 5, "≥"), "≥ 1.2802"),
        ((1.2802999, 5, "≥"), "≥ 1.2802"),  # never more than is known
        ((0.9999999, 5, "≥"), "≥ 0.99999"),
        ((1.0000004, 6, "≥"), "≥ 1 + 4e-07"),
        ((1.5, 6, "≥"), "≥ 1.5"),
        ((0.99931, 6, "", 0.08), "0.999 ± 0.08"),
        ((1.00001, 6, "≥", 2e-5), "≥ 0.99999"),
        ((float("inf"),), "∞"),
    ],
)
def test_a_rate(given: tuple[Any, ...], text: str) -> None:
    assert rate_text(*given) == text


def test_a_bound_is_on_its_own_side() -> None:
    for x in np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100):
        assert float(number_text(float(x), 5, "≥").removeprefix("≥ ")) <= x <= float(number_text(float(x), 5, "≤")[2:])


def of(matrix: np.ndarray[Any, Any]) -> dict[str, Any]:
    s = dense_spectrum(torch.from_numpy(matrix))
    names = ("eigenvalues", "residuals", "errors", "status")
    return {name: getattr(s, name).numpy() for name in names} | {"dimension": len(matrix)}


def test_eigenvalues_that_rounding_has_moved_prove_nothing() -> None:
    """A defective J, one eigenvalue .002 of twelve: computed ones have Re λ < 0, and those of F' moduli above 1."""
    n, rng = 12, np.random.default_rng(1)
    Q = rng.normal(size=(n, n))
    J = Q @ (0.002 * np.eye(n) + np.diag(np.ones(n - 1), 1)) @ np.linalg.inv(Q)
    assert np.linalg.eigvals(J).real.min() < -0.04 and abs(np.linalg.eigvals(np.eye(n) - 0.1 * J)).max() > 1.004
    own = {f"p{i}": of(np.ones((1, 1))) for i in range(n)}
    at: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0, "sizes": dict.fromkeys(own, 1)}
    facts = point_verdict(of(J), own, of(np.eye(n) - 0.1 * J), **at, descending=True)
    kind = facts["kind"]
    assert (kind["equilibrium"], kind["step"], kind["flow"]) == ("nash", "unknown", "unknown")
    assert re.match(r"1 ± 0\.\d$", number(facts, "update_radius")) and "±" in number(facts, "min_real")
    shown = lines(facts)
    ratios = ("phase ζ = max |Im λ/Re λ|", "τ of the step", "steps to shrink the error to 1e-06")
    assert [shown[label] for label in ratios] == ["unknown"] * 3


def test_on_the_unit_circle_nothing_is_decided() -> None:
    """Neither for a step whose error grows by 1 a step, nor for one whose error goes round."""
    at: dict[str, Any] = {"gradient": 0.0, "noise": 0.0, "parameters": 0.0, "sizes": {"x": 1, "y": 1}}
    own = {"x": of(np.zeros((1, 1))), "y": of(np.zeros((1, 1)))}
    for F in (np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[0.6, 0.8], [-0.8, 0.6]])):
        kind = point_verdict(of(np.array([[0.0, 1.0], [-1.0, 0.0]])), own, of(F), **at)["kind"]
        assert kind["step"] in ("=1", "unknown") and "neither" not in kind["words"] and "stable" not in kind["words"]
