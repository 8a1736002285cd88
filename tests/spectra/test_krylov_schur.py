"""Krylov-Schur: a restarted space finds the leading eigenvalues."""

from __future__ import annotations

import pytest
import torch

from counterplay.core.spectra.krylov_schur import krylov_schur

from ..support.cases import F64, random


@pytest.mark.parametrize("members", [None, 2])
def test_a_restarted_space_finds_the_leading_eigenvalues(members):
    """Of a matrix that is not normal, with complex pairs, in a space too small to find them without restarts."""
    n, k, space, products = 120, 6, 15, []
    A = random(*([members] if members else []), n, n, seed=30)
    start = random(n, seed=31).expand(A.shape[:-1])

    def mul(x):
        products.append(1)
        return (A @ x.unsqueeze(-1)).squeeze(-1)

    def stop(H):
        _, vectors = torch.linalg.eig(H[..., :-1, :])
        values = torch.linalg.eigvals(H[..., :-1, :]).abs()
        order = torch.linalg.eig(H[..., :-1, :])[0].abs().argsort(-1, descending=True)[..., :k]
        residuals = H[..., -1, -1:] * vectors[..., -1, :].abs()
        return (residuals.gather(-1, order) < 1e-10 * values.amax(-1, keepdim=True)).all(-1) & (H.shape[-1] >= k)

    H = krylov_schur(mul, start, k, space, 2000, stop)
    assert len(products) > space and H.shape[-1] <= space and stop(H).all()

    def leading(matrix):
        values = torch.linalg.eigvals(matrix)
        return values.abs().sort(-1, descending=True).values[..., :k]

    torch.testing.assert_close(leading(H[..., :-1, :]), leading(A), rtol=1e-8, atol=0)


def test_where_no_restart_is_safe_a_space_ends():
    """All eigenvectors of H alike: what they span is not known, so nothing is made of it."""
    A = torch.diag(torch.ones(29, dtype=F64), 1) + torch.eye(30, dtype=F64)
    H = krylov_schur(lambda x: A @ x, random(30, seed=1), 2, 8, 100, lambda H: torch.zeros((), dtype=torch.bool))
    assert H.shape == (9, 8)
    H = krylov_schur(
        lambda x: x * torch.nan, random(30, seed=1), 2, 8, 100, lambda H: torch.zeros((), dtype=torch.bool)
    )
    assert not torch.isfinite(H).all()
