"""Eigenvalues of a matrix and how far each may be off; the matrix is an operator's own, or one from a Krylov space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from ..log.schema import SPECTRUM_STATUS

CONVERGED, NOT_CONVERGED, NOT_FINITE, NOT_DIFFERENTIABLE = range(len(SPECTRUM_STATUS))
SLACK = 10.0  # products have several rounding errors, not one, and errors grow faster than to first order
RITZ_SLACK = 200.0  # a Krylov space knows half of an eigenvalue's condition: off by 16 times its figure was seen
SYMMETRIC = 1e-13  # relative: a matrix this close to its transpose has orthogonal eigenvectors


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (..., k), largest modulus first, on the CPU in double precision; a leading axis has the members.

    ``residuals`` are ||A q - lambda q|| / max |lambda|. ``errors``, relative to max |lambda| too, say how far each
    eigenvalue may be off, which is many times its residual where A is not normal. ``status`` holds indices into
    ``schema.SPECTRUM_STATUS``: an eigenvalue from a Krylov space has converged if its error is below the tolerance.
    """

    eigenvalues: Tensor
    residuals: Tensor
    status: Tensor
    errors: Tensor


Found = tuple[Tensor, Tensor, Tensor]  # eigenvalues (..., n), their residuals and their errors


def dense_spectrum(matrix: Tensor, eps: float | None = None) -> Spectrum:
    """All eigenvalues of matrices (..., N, N). A matrix that is not finite gives NaN, as LAPACK must not see it.

    ``eps`` is the relative precision of the entries, by default that of their dtype. With V^{-1} A V = Lambda + E, all
    eigenvalues lie in discs around those of Lambda whose radii are the row sums of |E| (Gershgorin 1931). These radii
    are the errors, and they hold for ill-conditioned eigenvalues too. NaN where there is no basis of eigenvectors.

    A basis may be there through rounding alone, as that of a Jordan block. The m eigenvalues whose condition says so
    are off by the m-th root of a rounding error (Elsner 1985).
    """
    eps = torch.finfo(matrix.dtype).eps if eps is None else eps
    matrix = matrix.detach().to("cpu", torch.float64)

    def found(A: Tensor) -> Found:
        values, V, inverse = _eigenvectors(A)
        off = (A.to(V.dtype) @ V - V * values.unsqueeze(-2)).abs()
        E = inverse.abs() @ (off + SLACK * eps * (A.abs() @ V.abs()))
        return values, torch.linalg.vector_norm(off, dim=-2), torch.maximum(E.sum(-1), _of_blocks(A, inverse))

    return _spectrum(found, matrix.shape[-1], torch.inf, matrix)


def _of_blocks(A: Tensor, inverse: Tensor) -> Tensor:
    """By how much eigenvalues (..., N) of Jordan blocks may be off; 0 of those with an eigenvector of their own."""
    rounding = SLACK * torch.finfo(torch.float64).eps
    defective = torch.linalg.vector_norm(inverse, dim=-1) * rounding >= 1  # the condition, as columns of V have norm 1
    root = 1 / defective.sum(-1, keepdim=True).clamp(min=1)
    return torch.where(defective, 2 * torch.linalg.matrix_norm(A)[..., None] * rounding**root, 0.0)


def ritz_spectrum(H: Tensor, k: int, tol: float) -> Spectrum:
    """The ``k`` leading Ritz values of a Krylov space, from its H (..., n + 1, n).

    A Ritz value with residual r is an eigenvalue of A + E for some E with ||E|| = r. The distance to an eigenvalue of A
    may be r times the condition of the eigenvalue, which is large where A is far from normal. A Ritz value has
    converged where this product is at most ``tol``; the condition is computed within the space, and the error is
    RITZ_SLACK times the product.
    """
    eps = torch.finfo(H.dtype).eps
    H = H.detach().to("cpu", torch.float64)
    # A residual cannot be more precise than the products it is computed from, which are off by eps ||A||.
    rounding = eps * torch.linalg.matrix_norm(torch.nan_to_num(H))

    def found(A: Tensor, least: Tensor) -> Found:
        values, V = torch.linalg.eig(A)
        condition = torch.linalg.vector_norm(torch.linalg.inv_ex(V)[0], dim=-1)
        residuals = torch.maximum(least[..., :1].abs() * V[..., -1, :].abs(), least[..., 1:])
        return values, residuals, RITZ_SLACK * residuals * condition.clamp_min(1)

    return _spectrum(found, k, RITZ_SLACK * tol, H[..., :-1, :], torch.stack([H[..., -1, -1], rounding], dim=-1))


def _eigenvectors(A: Tensor) -> Found:
    """Eigenvalues, eigenvectors V (as columns) and V^{-1}. For symmetric and antisymmetric A, V is orthogonal."""
    for unit in (1.0, 1j):
        B = unit * A
        if ((B - B.mH).abs().amax((-2, -1)) <= SYMMETRIC * B.abs().amax((-2, -1))).all():
            values, V = torch.linalg.eigh(B)
            return values.to(torch.complex128) / unit, V.to(torch.complex128), V.mH
    values, V = torch.linalg.eig(A)
    return values, V, torch.linalg.inv_ex(V)[0]


def _spectrum(found: Callable[..., Found], k: int, tol: float, A: Tensor, *more: Tensor) -> Spectrum:
    """The ``k`` eigenvalues of A (..., n, n) of largest modulus; converged are those whose error is at most ``tol``."""
    n = A.shape[-1]
    finite = reduce(torch.logical_and, (torch.isfinite(x).flatten(A.dim() - 2).all(-1) for x in (A, *more)))  # (...)
    safe = torch.where(finite[..., None, None], A, torch.zeros_like(A))
    try:
        values, residuals, errors = found(safe, *more)
    except torch.linalg.LinAlgError:
        if A.dim() == 2:
            return _unsolved(finite, min(k, n))
        # LAPACK does not say which of the matrices failed: solve them one by one.
        singles = [_spectrum(found, k, tol, *one) for one in zip(A, *more, strict=True)]
        return Spectrum(*(torch.stack([getattr(s, f.name) for s in singles]) for f in fields(Spectrum)))
    order = values.abs().argsort(dim=-1, descending=True, stable=True)[..., : min(k, n)]
    values, residuals, errors = values.gather(-1, order), residuals.gather(-1, order), errors.gather(-1, order)
    largest = values.abs().amax(-1, keepdim=True)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    residuals, errors = residuals / largest, torch.nan_to_num(errors / largest, nan=torch.inf)
    finite = finite.unsqueeze(-1)
    status = torch.where(finite, torch.where(errors <= tol, CONVERGED, NOT_CONVERGED), NOT_FINITE)
    nan = torch.full_like(residuals, torch.nan)
    return Spectrum(
        torch.where(finite, values, torch.complex(nan, nan)),
        torch.where(finite, residuals, nan),
        status,
        torch.where(finite & torch.isfinite(errors), errors, nan),
    )


def _unsolved(finite: Tensor, k: int) -> Spectrum:
    """A spectrum without eigenvalues: not converged where the matrix is ``finite`` (...), else not finite."""
    nan = torch.full((*finite.shape, k), torch.nan, dtype=torch.float64)
    status = torch.where(finite, NOT_CONVERGED, NOT_FINITE).unsqueeze(-1).expand_as(nan)
    return Spectrum(torch.complex(nan, nan), nan, status, nan)
