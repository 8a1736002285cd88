"""Krylov methods on vectors (..., N): one system, or one for each ensemble member on the leading axis.

All members share each product; one that has converged is frozen, and the loop stops when all have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

MatVec = Callable[[Tensor], Tensor]


class Solution(NamedTuple):
    """``x`` (..., N) with the iterations (...) taken, the relative residual (...) and whether it met the tolerance."""

    x: Tensor
    iterations: Tensor
    residual: Tensor
    converged: Tensor


def inner(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> along the last axis, which is kept: (..., 1)."""
    return torch.linalg.vecdot(a, b).unsqueeze(-1)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where b is 0."""
    return torch.where(b == 0, torch.zeros_like(a), a / torch.where(b == 0, torch.ones_like(b), b))


def conjugate_gradient(A: MatVec, b: Tensor, tol: float, max_iter: int) -> Solution:
    """Solve A x = b for symmetric positive definite A, from x = 0 (Hestenes and Stiefel 1952)."""
    solution, _ = conjugate_gradient_with_image(lambda p: (A(p), p), b, b, tol, max_iter)
    return solution


def conjugate_gradient_with_image(
    A: Callable[[Tensor], tuple[Tensor, Tensor]],
    b: Tensor,
    image: Tensor,
    tol: float,
    max_iter: int,
    start: Tensor | None = None,
) -> tuple[Solution, Tensor]:
    """The same where A(p) returns (A p, K p) for another linear K, with K x (like ``image``) as well as x.

    For A = I + M M^T the product K p = M^T p is on the way, and K x costs no further one. From x = ``start``, at the
    cost of one more product with A, or from 0.

    The residual is the one that the iterations carry along, but never below what rounding makes of the true one,
    sqrt(k) eps ||A|| ||x|| / ||b|| after k iterations (Greenbaum 1997, SIAM J. Matrix Anal. Appl. 18:3, has k, which is
    the worst case): to compute that would be a product more.
    """
    x, Kx, r = torch.zeros_like(b), torch.zeros_like(image), b
    if start is not None:
        Ax, Kx = A(start)
        x, r = start, b - Ax
    p, bb, rr = r, inner(b, b), inner(r, r)
    target = tol**2 * bb
    largest = torch.zeros_like(bb)  # Rayleigh quotient so far
    count = torch.zeros(b.shape[:-1], dtype=torch.int64, device=b.device)
    going = rr > target
    for _ in range(max_iter):
        if not bool(going.any()):
            break
        Ap, Kp = A(p)
        curvature = inner(p, Ap)
        largest = torch.maximum(largest, _ratio(curvature, inner(p, p)))
        alpha = torch.where(going, _ratio(rr, curvature), torch.zeros_like(rr))
        x, Kx, r = torch.addcmul(x, alpha, p), torch.addcmul(Kx, alpha, Kp), torch.addcmul(r, alpha, Ap, value=-1)
        new = inner(r, r)
        p = torch.addcmul(r, _ratio(new, rr), p)
        rr = new
        count = count + going.squeeze(-1)
        going = going & (rr > target)
    rr = torch.maximum(rr, count.unsqueeze(-1) * (torch.finfo(b.dtype).eps * largest) ** 2 * inner(x, x))
    return Solution(x, count, _ratio(rr, bb).sqrt().squeeze(-1), _met(rr, target)), Kx


def _met(size: Tensor, target: Tensor) -> Tensor:
    """Whether size <= target (..., 1): never where a number is not finite, which ends a loop but solves nothing."""
    return ((size <= target) & torch.isfinite(size)).squeeze(-1)


def gmres(A: MatVec, b: Tensor, tol: float, max_iter: int, start: Tensor | None = None, restart: int = 50) -> Solution:
    """Solve A x = b for any non-singular A (Saad and Schultz 1986), restarted to bound the memory.

    From x = ``start``, or from 0.

    The residual reported is the true one, b - A x, computed afresh at every restart.
    """
    x, r = (torch.zeros_like(b), b) if start is None else (start, b - A(start))
    size = torch.linalg.vector_norm(b, dim=-1, keepdim=True)
    count = torch.zeros(b.shape[:-1], dtype=torch.int64, device=b.device)
    target = tol * size
    done = 0
    while True:
        beta = torch.linalg.vector_norm(r, dim=-1, keepdim=True)
        going = beta > target
        if not bool(going.any()) or done >= max_iter:
            return Solution(x, count, _ratio(beta, size).squeeze(-1), _met(beta, target))
        m = min(restart, max_iter - done, b.shape[-1])

        def close(H: Tensor, beta: Tensor = beta) -> Tensor:
            return _least_squares(H, beta)[1] <= target.squeeze(-1)

        V, H = arnoldi(A, r, m, stop=close)
        y, _ = _least_squares(H, beta)
        x = torch.where(going, x + _combine(y, V[..., : y.shape[-1], :]), x)
        done += H.shape[-1]
        count = count + going.squeeze(-1) * H.shape[-1]
        r = b - A(x)


def _least_squares(H: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """min_y ||beta e_1 - H y|| with its minimum; H is (..., m + 1, m), of full rank or padded with zeros.

    NaN where H is not finite: LAPACK must not see it.
    """
    e1 = torch.zeros(*H.shape[:-1], 1, dtype=H.dtype, device=H.device)
    e1[..., 0, 0] = beta.squeeze(-1)
    finite = torch.isfinite(H).flatten(-2).all(-1)[..., None, None]
    y = torch.where(finite, torch.linalg.pinv(torch.where(finite, H, 0.0)) @ e1, torch.nan)
    return y.squeeze(-1), torch.linalg.vector_norm((e1 - H @ y).squeeze(-1), dim=-1)


def _combine(y: Tensor, V: Tensor) -> Tensor:
    """sum_j y_j V_j: (..., k) and (..., k, N) to (..., N)."""
    return (y.unsqueeze(-2) @ V).squeeze(-2)


def arnoldi(A: MatVec, start: Tensor, m: int, stop: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """An orthonormal basis V (..., k + 1, N) of the Krylov space of ``start`` and its H (..., k + 1, k), k <= m.

    A V_k = V_{k+1} H (Arnoldi 1951), orthogonalised twice, since once loses orthogonality in float32. Ends early
    where ``stop(H)`` holds for every member. A member whose space is exhausted has zero vectors from there on.
    """
    V, H = reserved(start, m)
    k = extend(A, V, H, 0, stop)
    return V[..., : k + 1, :], H[..., : k + 1, :k]


def reserved(start: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Room for m + 1 vectors (..., m + 1, N), the first of them ``start`` at length 1, and zeros (..., m + 1, m)."""
    V = start.new_empty(*start.shape[:-1], m + 1, start.shape[-1])  # a page that is never written is never taken
    beta = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    V[..., 0, :] = _ratio(start, beta.expand_as(start))
    return V, start.new_zeros(*start.shape[:-1], m + 1, m)


def extend(A: MatVec, V: Tensor, H: Tensor, k: int, stop: Callable[[Tensor], Tensor] | None = None) -> int:
    """Go on with ``V`` and ``H``, in place, from k columns to all of H's, or fewer as in :func:`arnoldi`; how many."""
    tiny = 10 * torch.finfo(V.dtype).eps
    for j in range(k, H.shape[-1]):
        w = A(V[..., j, :])
        before = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        basis = V[..., : j + 1, :]
        for _ in range(2):
            h = (basis @ w.unsqueeze(-1)).squeeze(-1)  # (..., j + 1)
            w = w - _combine(h, basis)
            H[..., : j + 1, j] += h
        size = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        more = size > tiny * before  # else what is left is rounding: no direction, but a residual it stays
        V[..., j + 1, :] = _ratio(w, torch.where(more, size, torch.zeros_like(size)).expand_as(w))
        H[..., j + 1, j] = size.squeeze(-1)
        k = j + 1
        if not bool(more.any()) or (stop is not None and bool(stop(H[..., : k + 1, :k]).all())):
            break
    return k
