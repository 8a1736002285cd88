"""The leading eigenvalues of a large operator in bounded memory, by restarted Krylov spaces."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..solver.krylov import MatVec, allocate_basis, extend_basis

PIECE = 1 << 16  # columns of the basis that are rotated at a time
INDEPENDENT = 1e-6  # least relative singular value of eigenvectors whose span is known to working precision


def krylov_schur(
    A: MatVec, start: Tensor, k: int, space: int, max_products: int, stop: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return H (..., n + 1, n) of a Krylov decomposition A V = V H[:-1] + v H[-1], whose last row is (0, ..., 0, h).

    At most ``space`` + 1 vectors (..., N) are held. When that many are reached, the space is restarted from a real
    basis of the leading Ritz vectors, of which at least ``k`` are kept. The iteration ends when ``stop(H)`` holds for
    every member, after ``max_products`` products, or when no restart is safe. Stewart (2001, A Krylov-Schur algorithm
    for large eigenproblems).
    """
    n, done = 0, 0
    V, H = allocate_basis(start, min(space, max_products))
    while True:
        before = n
        n = extend_basis(A, V, H[..., : n + max_products - done], n, stop)
        done += n - before
        found = H[..., : n + 1, :n]
        if n < H.shape[-1] or done >= max_products or bool(stop(found).all()):
            return found
        Q = _kept(found[..., :-1, :].to("cpu", torch.float64), k + (n - k) // 2, k)
        if Q is None:
            return found
        T = Q.mT @ found[..., :-1, :].to(Q) @ Q
        last = found[..., -1:, :].to(Q) @ Q
        n = Q.shape[-1]
        _rotate(V, Q.to(V))
        H.zero_()
        H[..., :n, :n], H[..., n : n + 1, :n] = T.to(H), last.to(H)


def _kept(H: Tensor, most: int, least: int) -> Tensor | None:
    """An orthonormal basis (..., n, p) of the leading eigenvectors of H with least <= p <= most; None if there is none.

    p must not separate a conjugate pair in any member.
    """
    if not bool(torch.isfinite(H).all()):
        return None
    values, vectors = torch.linalg.eig(H)
    order = values.abs().argsort(dim=-1, descending=True, stable=True)
    values = values.gather(-1, order)
    vectors = vectors.gather(-1, order.unsqueeze(-2).expand_as(vectors))
    for p in range(most, least - 1, -1):
        whole = values[..., :p].sum(-1).imag.abs() <= 1e-9 * values[..., 0].abs()
        if not bool(whole.all()):
            continue
        both = torch.cat([vectors[..., :p].real, vectors[..., :p].imag], dim=-1)
        U, sizes, _ = torch.linalg.svd(both, full_matrices=False)
        if bool((sizes[..., p - 1] > INDEPENDENT * sizes[..., 0]).all()):
            return U[..., :p]
    return None


def _rotate(V: Tensor, Q: Tensor) -> None:
    """Replace the vectors of V (..., n + 1, N) by Q^T V[:n] and, as the p + 1st, its last one; in place, by pieces."""
    n, p = Q.shape[-2:]
    for piece in V.split(PIECE, dim=-1):
        piece[..., :p, :] = Q.mT @ piece[..., :n, :]
    V[..., p, :] = V[..., n, :]
