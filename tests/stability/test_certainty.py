"""What counts of a spectrum that has not converged: of a symmetric matrix, all that is within its residual."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from counterplay.core.derivatives.operator import Operator
from counterplay.core.spectra import spectrum as spectra
from counterplay.core.stability.certainty import CERTAIN, known
from counterplay.core.stability.verdict import point_verdict


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("products", [16, 24, 40])
def test_a_ritz_value_of_a_symmetric_matrix_is_within_its_error(
    monkeypatch: pytest.MonkeyPatch, seed: int, products: int
) -> None:
    monkeypatch.setattr(spectra, "DENSE", 0)
    A = torch.randn(120, 120, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    A, like = A + A.T, {"x": {"value": torch.zeros(120, dtype=torch.float64)}}
    product = lambda u: {"x": {"value": A @ u["x"]["value"]}}  # noqa: E731
    found = spectra.spectrum(Operator(product, product, like, like), k=8, max_products=products)
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
