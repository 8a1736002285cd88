"""Eigenvalues of matrices, and how far each may be off: of a whole operator, or of what a Krylov space knows of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from ..log.schema import SPECTRUM_STATUS

CONVERGED, NOT_CONVERGED, NOT_FINITE, NOT_DIFFERENTIABLE = range(len(SPECTRUM_STATUS))
SLACK = 10.0  # products are off by several roundings, not by one, and errors grow faster than to first order
SYMMETRIC = 1e-13  # relative: a matrix this close to its transpose has orthogonal eigenvectors


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (..., k), largest modulus first, each with its residual ||A q - lambda q|| / max |lambda| and status.

    ``errors``, relative to max |lambda| as well, say how far an eigenvalue may be off: by many times its residual where
    A is not normal. On the CPU in double precision, one row for each ensemble member. ``status`` holds indices into
    ``schema.SPECTRUM_STATUS``: what a Krylov space has found has converged if it is off by less than the tolerance.
    """

    eigenvalues: Tensor
    residuals: Tensor
    status: Tensor
    errors: Tensor


Found = tuple[Tensor, Tensor, Tensor]  # eigenvalues (..., n), their residuals, how far they may be off


def dense_spectrum(matrix: Tensor, eps: float | None = None) -> Spectrum:
    """All eigenvalues of matrices (..., N, N). A matrix that is not finite gives NaN: LAPACK must not see it.

    The numbers in it are known to ``eps``, by default to the precision of their type. With V^{-1} A V = Lambda + E, all
    eigenvalues lie in the discs about those of Lambda whose radii are the rows' sums of |E| (Gershgorin 1931). So wide
    are the errors, which holds however ill-conditioned an eigenvalue is; NaN where there is no basis of eigenvectors.
    """
    eps = torch.finfo(matrix.dtype).eps if eps is None else eps
    matrix = matrix.detach().to("cpu", torch.float64)

    def found(A: Tensor) -> Found:
        values, V, inverse = _eigenvectors(A)
        off = (A.to(V.dtype) @ V - V * values.unsqueeze(-2)).abs()
        E = inverse.abs() @ (off + SLACK * eps * (A.abs() @ V.abs()))
        return values, torch.linalg.vector_norm(off, dim=-2), E.sum(-1)

    return _spectrum(found, matrix.shape[-1], torch.inf, matrix)


def ritz_spectrum(H: Tensor, k: int, tol: float) -> Spectrum:
    """The ``k`` leading Ritz values of a Krylov space, from its H (..., n + 1, n).

    A residual r says that A + E has the eigenvalue, for some E as small as r; that of A itself may be as far away as r
    times the eigenvalue's condition, which is large where A is far from normal. So a Ritz value has converged where
    that product is at most ``tol``; its condition is the one within the space.
    """
    eps = torch.finfo(H.dtype).eps
    H = H.detach().to("cpu", torch.float64)
    # No residual is known better than the products it comes from, which are off by eps ||A||.
    rounding = eps * torch.linalg.matrix_norm(torch.nan_to_num(H))

    def found(A: Tensor, least: Tensor) -> Found:
        values, V = torch.linalg.eig(A)
        condition = torch.linalg.vector_norm(torch.linalg.inv_ex(V)[0], dim=-1)
        residuals = torch.maximum(least[..., :1].abs() * V[..., -1, :].abs(), least[..., 1:])
        return values, residuals, SLACK * residuals * condition.clamp_min(1)

    return _spectrum(found, k, SLACK * tol, H[..., :-1, :], torch.stack([H[..., -1, -1], rounding], dim=-1))


def _eigenvectors(A: Tensor) -> Found:
    """Eigenvalues, eigenvectors (columns) and their inverse; those of symmetric and antisymmetric A are orthogonal."""
    for unit in (1.0, 1j):
        B = unit * A
        if (B - B.mH).abs().max() <= SYMMETRIC * B.abs().max():
            values, V = torch.linalg.eigh(B)
            return values.to(torch.complex128) / unit, V.to(torch.complex128), V.mH
    values, V = torch.linalg.eig(A)
    return values, V, torch.linalg.inv_ex(V)[0]


def _spectrum(found: Callable[..., Found], k: int, tol: float, A: Tensor, *more: Tensor) -> Spectrum:
    """The ``k`` eigenvalues of A (..., n, n) of largest modulus, converged where they are off by ``tol`` at most."""
    n = A.shape[-1]
    finite = reduce(torch.logical_and, (torch.isfinite(x).flatten(A.dim() - 2).all(-1) for x in (A, *more)))  # (...)
    safe = torch.where(finite[..., None, None], A, torch.zeros_like(A))
    try:
        values, residuals, errors = found(safe, *more)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if A.dim() == 2:
            return _unsolved(finite, min(k, n))
        each = [_spectrum(found, k, tol, *one) for one in zip(A, *more, strict=True)]  # which ones, LAPACK does not say
        return Spectrum(*(torch.stack([getattr(s, f.name) for s in each]) for f in fields(Spectrum)))
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
    """No eigenvalue, and why; ``finite`` (...) tells whether the matrix was."""
    nan = torch.full((*finite.shape, k), torch.nan, dtype=torch.float64)
    status = torch.where(finite, NOT_CONVERGED, NOT_FINITE).unsqueeze(-1).expand_as(nan)
    return Spectrum(torch.complex(nan, nan), nan, status, nan)
