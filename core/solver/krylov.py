"""Krylov methods for vectors (..., N): one system, or one for each member of an ensemble on the leading axis.

One call of the matrix-vector product serves all members. A member that has converged no longer changes, and the
iterations end when all have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..game.tree import copied_to_device

MatVec = Callable[[Tensor], Tensor]


class Solution(NamedTuple):
    """``x`` (..., N), and for each system (...): iterations, relative residual, whether that met the tolerance."""

    x: Tensor
    iterations: Tensor
    residual: Tensor
    converged: Tensor


def inner_product(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> over the last axis, which stays with length 1: (..., 1)."""
    return torch.linalg.vecdot(a, b).unsqueeze(-1)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, or 0 where b is 0."""
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
    """Solve A x = b by conjugate gradient and also return K x, where A(p) returns (A p, K p) for a linear map K.

    For A = I + M M^T, K p = M^T p is computed on the way to A p, so K x costs no further product. ``image`` is any
    vector of the shape of K x. The iterations begin at ``start``, which costs one more product with A, or at 0.

    The residual reported is the one that the iterations update, but at least the rounding error of the true residual,
    estimated as sqrt(k) eps ||A|| ||x|| / ||b|| after k iterations. (The bound of Greenbaum 1997, SIAM J. Matrix Anal.
    Appl. 18:3, has k in place of sqrt(k), for the worst case.) To compute the true residual would cost a product.
    """
    x, Kx, r = torch.zeros_like(b), torch.zeros_like(image), b
    if start is not None:
        Ax, Kx = A(start)
        x, r = start, b - Ax
    p, bb, rr = r, inner_product(b, b), inner_product(r, r)
    target = tol**2 * bb
    largest = torch.zeros_like(bb)  # the largest Rayleigh quotient so far, as an estimate of ||A||
    count = torch.zeros(b.shape[:-1], dtype=torch.int64, device=b.device)
    going = rr > target
    for _ in range(max_iter):
        if not bool(going.any()):
            break
        Ap, Kp = A(p)
        curvature = inner_product(p, Ap)
        largest = torch.maximum(largest, _ratio(curvature, inner_product(p, p)))
        alpha = torch.where(going, _ratio(rr, curvature), torch.zeros_like(rr))
        x, Kx, r = torch.addcmul(x, alpha, p), torch.addcmul(Kx, alpha, Kp), torch.addcmul(r, alpha, Ap, value=-1)
        new = inner_product(r, r)
        p = torch.addcmul(r, _ratio(new, rr), p)
        rr = new
        count = count + going.squeeze(-1)
        going = going & (rr > target)
    rr = torch.maximum(rr, count.unsqueeze(-1) * (torch.finfo(b.dtype).eps * largest) ** 2 * inner_product(x, x))
    return Solution(x, count, _ratio(rr, bb).sqrt().squeeze(-1), _converged(rr, target)), Kx


def _converged(size: Tensor, target: Tensor) -> Tensor:
    """Whether size <= target, (..., 1) to (...). False where ``size`` is not finite."""
    return ((size <= target) & torch.isfinite(size)).squeeze(-1)


def gmres(A: MatVec, b: Tensor, tol: float, max_iter: int, start: Tensor | None = None, restart: int = 50) -> Solution:
    """Solve A x = b for any non-singular A, from x = ``start`` or from 0 (Saad and Schultz 1986).

    It restarts after ``restart`` iterations, to bound the memory. The residual reported is the true one, b - A x, which
    is computed at every restart and at the end.
    """
    x, r = (torch.zeros_like(b), b) if start is None else (start, b - A(start))
    size = torch.linalg.vector_norm(b, dim=-1, keepdim=True)
    count = torch.zeros(b.shape[:-1], dtype=torch.int64, device=b.device)
    target = tol * size
    done = 0
    while True:
        beta = torch.linalg.vector_norm(r, dim=-1, keepdim=True)
        sizes = torch.cat([beta, target], dim=-1).cpu().split(1, dim=-1)  # for the host, which waits for a GPU here
        if not bool((sizes[0] > sizes[1]).any()) or done >= max_iter:
            return Solution(x, count, _ratio(beta, size).squeeze(-1), _converged(beta, target))
        going = beta > target
        m = min(restart, max_iter - done, b.shape[-1])

        def solved(H: Tensor, sizes: Sequence[Tensor] = sizes) -> Tensor:
            return _least_squares(H, sizes[0])[1] <= sizes[1].squeeze(-1)

        V, H = arnoldi(A, r, m, stop=solved)
        y = copied_to_device(_least_squares(H, sizes[0])[0], b.device)
        x = torch.where(going, x + _combine(y, V[..., : y.shape[-1], :]), x)
        done += H.shape[-1]
        count = count + going.squeeze(-1) * H.shape[-1]
        r = b - A(x)


def _least_squares(H: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The y that minimises ||beta e_1 - H y||, and the minimum. H is (..., m + 1, m); its last columns may be zero.

    NaN where H is not finite: LAPACK is never called on such numbers.
    """
    e1 = torch.zeros(*H.shape[:-1], 1, dtype=H.dtype, device=H.device)
    e1[..., 0, 0] = beta.squeeze(-1)
    finite = torch.isfinite(H).flatten(-2).all(-1)[..., None, None]
    y = torch.where(finite, torch.linalg.pinv(torch.where(finite, H, 0.0)) @ e1, torch.nan)
    return y.squeeze(-1), torch.linalg.vector_norm((e1 - H @ y).squeeze(-1), dim=-1)


def _combine(y: Tensor, V: Tensor) -> Tensor:
    """sum_j y_j V_j, from y (..., k) and V (..., k, N) to (..., N)."""
    return (y.unsqueeze(-2) @ V).squeeze(-2)


def arnoldi(A: MatVec, start: Tensor, m: int, stop: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """An orthonormal basis V (..., k + 1, N) of the Krylov space of ``start``, and H (..., k + 1, k), with k <= m.

    A V_k = V_{k+1} H (Arnoldi 1951). Each vector is orthogonalised twice; once is not enough in float32. It ends early
    when ``stop(H)`` holds for every member. A member whose Krylov space is exhausted gets zero vectors from there on.
    V is on the device of ``start``, H on the CPU, where small matrices are worked with.
    """
    V, H = allocate_basis(start, m)
    k = extend_basis(A, V, H, 0, stop)
    return V[..., : k + 1, :], H[..., : k + 1, :k]


def allocate_basis(start: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """V (..., m + 1, N) with ``start`` / ||start|| as its first vector, and H (..., m + 1, m) of zeros."""
    V = start.new_empty(*start.shape[:-1], m + 1, start.shape[-1])  # memory that is never written costs nothing
    beta = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    V[..., 0, :] = _ratio(start, beta.expand_as(start))
    return V, torch.zeros(*start.shape[:-1], m + 1, m, dtype=start.dtype)


def extend_basis(A: MatVec, V: Tensor, H: Tensor, k: int, stop: Callable[[Tensor], Tensor] | None = None) -> int:
    """Fill ``V`` and ``H`` in place, from k columns of H to all, or fewer as in :func:`arnoldi`. Returns how many."""
    tiny = 10 * torch.finfo(V.dtype).eps
    for j in range(k, H.shape[-1]):
        w = A(V[..., j, :])
        before = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        basis = V[..., : j + 1, :]
        parts = []
        for _ in range(2):
            h = (basis @ w.unsqueeze(-1)).squeeze(-1)  # (..., j + 1)
            w = w - _combine(h, basis)
            parts.append(h)
        size = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
        more = size > tiny * before  # else w is rounding error: no new direction, but it still counts in H
        V[..., j + 1, :] = _ratio(w, torch.where(more, size, torch.zeros_like(size)).expand_as(w))
        # All that the host needs of this iteration, in one copy: it waits for a GPU only here.
        column = torch.cat([parts[0] + parts[1], size, more], dim=-1).cpu()  # (..., j + 3)
        H[..., : j + 2, j] = column[..., :-1]
        k = j + 1
        if not bool(column[..., -1].any()) or (stop is not None and bool(stop(H[..., : k + 1, :k]).all())):
            break
    return k
