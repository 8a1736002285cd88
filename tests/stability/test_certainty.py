"""What counts of a spectrum that has not converged: of a symmetric matrix, all that is within its residual."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from counterplay.core.derivatives.operator import Operator
from counterplay.core.spectra import spectrum as krylov
from counterplay.core.spectra.eigenvalues import dense_spectrum
from counterplay.core.stability.certainty import CERTAIN, known
from counterplay.core.stability.verdict import point_verdict


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("products", [16, 24, 40])
def test_a_ritz_value_of_a_symmetric_matrix_is_within_its_error(
    monkeypatch: pytest.MonkeyPatch, seed: int, products: int
) -> None:
    monkeypatch.setattr(krylov, "DENSE", 0)
    A = torch.randn(120, 120, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    A, like = A + A.T, {"x": {"value": torch.zeros(120, dtype=torch.float64)}}
    product = lambda u: {"x": {"value": A @ u["x"]["value"]}}  # noqa: E731
    found = krylov.spectrum(Operator(product, product, like, like), k=8, max_products=products)
    facts = {"eigenvalues": found.eigenvalues, "status": found.status, "errors": found.errors, "dimension": 120}
    assert (found.status == 1).any(), "else this tests nothing"
    one = known(facts, symmetric=True)
    true = np.linalg.eigvalsh(A.numpy())
    assert np.isfinite(one.error).all() and one.complete is False
    assert all(np.abs(true - z).min() <= off for z, off in zip(one.values.real, one.error, strict=True))
    large = (found.status.numpy() == 1) & (found.errors.numpy() > CERTAIN)
    assert large.any() and not np.isfinite(known(facts).error[large]).any(), "of any matrix only small errors count"


@pytest.mark.parametrize(("error", "proven"), [(0.05, True), (0.5, False), (float("nan"), False)])
def test_a_player_that_would_leave_is_known_before_its_eigenvalue_has_converged(error: float, proven: bool) -> None:
    block = {"eigenvalues": [2.0, -0.9], "status": ["converged", "not_converged"], "errors": [1e-12, error]}
    sizes = {"x": 5000, "y": 5000}
    kind = point_verdict([2.0], {"x": block, "y": [1.0]}, None, sizes=sizes)["kind"]
    assert (kind["equilibrium"] == "not_nash") == proven
    assert point_verdict(block, {"x": [1.0], "y": [1.0]}, None, sizes=sizes)["kind"]["flow"] == "unknown", (
        "J is not symmetric"
    )


@pytest.mark.parametrize(("error", "said"), [(0.1, True), (1e-5, False)])
def test_a_larger_eigenvalue_that_has_not_converged_is_named(error: float, said: bool) -> None:
    """Else ρ(F') ≥ 0.9 reads as if the step were calm."""
    update = {"eigenvalues": [1.2, 0.9], "status": ["not_converged", "converged"], "errors": [error, 1e-12]}
    sizes = {"x": 5000, "y": 5000}
    kind = point_verdict([2.0], {"x": [1.0], "y": [1.0]}, update, sizes=sizes, state_size=10_000)["kind"]
    assert ("|λ| = 1.2 was seen, which has not converged" in kind["words"]) == said
    assert (kind["step"] == ">1") != said, "with a small error it proves that the step departs"


def test_a_drift_along_a_jordan_block_is_no_line_of_equilibria() -> None:
    """v = (y, 0, z): x moves for ever at the speed y, so that no rate leads to the nearest equilibrium."""
    J = torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.float64)
    spectra = [dense_spectrum(A) for A in (J, torch.eye(3, dtype=torch.float64) - 0.1 * J)]
    J_, F = ({"eigenvalues": s.eigenvalues, "errors": s.errors, "status": s.status} for s in spectra)
    facts = point_verdict(J_, {"x": [0.0], "y": [0.0], "z": [1.0]}, F, sizes=dict.fromkeys("xyz", 1), state_size=3)
    assert np.isnan(facts["predicted_rate"]) and np.isnan(facts["steps_to_epsilon"]) and np.isnan(facts["phase"])
    straight = torch.diag(torch.tensor([0.0, 0, 1], dtype=torch.float64))
    spectra = [dense_spectrum(A) for A in (straight, torch.eye(3, dtype=torch.float64) - 0.1 * straight)]
    J_, F = ({"eigenvalues": s.eigenvalues, "errors": s.errors, "status": s.status} for s in spectra)
    facts = point_verdict(J_, {"x": [0.0], "y": [0.0], "z": [1.0]}, F, sizes=dict.fromkeys("xyz", 1), state_size=3)
    assert facts["predicted_rate"] == pytest.approx(0.9), "a plane of equilibria"


def test_the_lower_bound_of_the_radius_is_that_of_the_surest_eigenvalue() -> None:
    one = known({"eigenvalues": [1.0004, 1.0], "status": [0, 0], "errors": [1e-5, 1e-3]}, size=5000)
    assert one.radius - one.radius_error == pytest.approx(1.0004 * (1 - 1e-5))
    whole = known({"eigenvalues": [1.0004, 1.0], "status": [0, 0], "errors": [1e-5, 1e-3]}, size=2)
    assert whole.radius + whole.radius_error == pytest.approx(1.0 + 1.0004e-3), (
        "and of all of them the largest possible"
    )
