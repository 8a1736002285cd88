"""Inner solves while a step is being differentiated."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacrev

from counterplay.core.solver.inner_solve import System, solve


@pytest.mark.parametrize("members", [(), (2,)], ids=["single", "members"])
def test_a_dense_solve_is_differentiated_without_differentiating_its_matrix(members):
    """dx = A^-1 d(b - A x). Differentiating the N products that make the matrix would cost N times as much."""
    rng = torch.Generator().manual_seed(0)
    bent, b = (torch.randn(*members, 4, *more, generator=rng, dtype=torch.float64) for more in ((4,), ()))
    t = torch.randn(*members, 4, generator=rng, dtype=torch.float64)
    differentiated = []

    def matrix(t):
        return 3 * torch.eye(4, dtype=torch.float64) + bent * t.sin().unsqueeze(-2)

    def of(t):
        def system(freeze):
            A = matrix(freeze(t))

            def made():
                differentiated.append(A.requires_grad)
                return A

            product, adjoint = (lambda x, A=A: (A @ x.unsqueeze(-1)).squeeze(-1) for A in (A, A.mT))
            return System(product, adjoint, made)

        return solve(system, b * t.exp(), "dense", None, 0)[0]

    expected = jacrev(lambda t: torch.linalg.solve(matrix(t), (b * t.exp()).unsqueeze(-1)).squeeze(-1))(t)
    assert torch.allclose(jacrev(of, chunk_size=3)(t), expected, rtol=1e-12, atol=1e-13)
    assert differentiated == [False]


@pytest.mark.parametrize("entry", [0.0, torch.nan])
def test_a_singular_matrix_has_no_derivative_and_no_error(entry):
    A, t = torch.full((2, 2), entry, dtype=torch.float64), torch.ones(2, dtype=torch.float64, requires_grad=True)
    x, _ = solve(lambda freeze: System(lambda x: A @ x, lambda x: A.T @ x, lambda: A), 2 * t, "dense", None, 0)
    (g,) = torch.autograd.grad(x.sum(), t)
    assert not x.isfinite().any() and not g.isfinite().any()
