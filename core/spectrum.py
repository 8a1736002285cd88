"""Eigenvalues of an operator: all of them when it is small, the largest by Arnoldi's method when it is not."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from .krylov_schur import krylov_schur
from .operator import Operator
from .schema import SPECTRUM_STATUS
from .tolerances import tolerances
from .tree import Params, add, leaves, ravel, scale, sub, tmap
from .update import UpdateMap

DENSE = 2000  # dimension up to which the matrix is built: beyond, LAPACK takes longer than a hundred products
CONVERGED, NOT_CONVERGED, NOT_FINITE, NOT_DIFFERENTIABLE = range(len(SPECTRUM_STATUS))


SPACE = 512 << 20  # bytes that a Krylov space takes, or two vectors more than twice the eigenvalues asked for


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (..., k), largest modulus first, each with its residual ||A q - lambda q|| / max |lambda| and status.

    On the CPU in double precision, one row for each ensemble member. ``status`` holds indices into
    ``schema.SPECTRUM_STATUS``.
    """

    eigenvalues: Tensor
    residuals: Tensor
    status: Tensor


def spectrum(A: Operator, k: int = 20, max_products: int = 100) -> Spectrum:
    """All eigenvalues of ``A`` up to dimension 2,000, else the ``k`` of largest modulus that a Krylov space yields.

    What has not converged is reported with its residual, never left out.
    """
    N = sum(x[0].numel() if A.ensemble else x.numel() for x in leaves(A.domain))
    return dense_spectrum(A.dense()) if N <= DENSE else _leading(A, min(k, N), min(max_products, N))


def update_spectrum(F: UpdateMap, k: int = 20, max_products: int = 100) -> Spectrum:
    """The eigenvalues of F', the derivative of one step: all of them up to 2,000 numbers of state, else ``k``.

    Of a large state those farthest from 1 are found, as the leading ones of I - F'^T: F' is close to the identity,
    so that its own leading eigenvalues would be a cluster at 1. Residuals are those of I - F', relative to its
    largest Ritz value. Where a step rule takes the root of exactly 0, which counts as flat there, every status says so.
    """
    found = _update_spectrum(F, k, max_products)
    bent = F.kinks().cpu().unsqueeze(-1) & (found.status == CONVERGED)
    return replace(found, status=torch.where(bent, NOT_DIFFERENTIABLE, found.status))


def _update_spectrum(F: UpdateMap, k: int, max_products: int) -> Spectrum:
    A = F.derivative()
    if F.size <= DENSE:
        return dense_spectrum(A.dense())
    D = F.scale()

    def product(w: Params) -> Params:  # (I - D^{-1} F' D)^T w
        return sub(w, tmap(torch.mul, A.rmv(tmap(torch.div, w, D)), D))

    found = _leading(Operator(product, A.mv, A.domain, A.range, A.ensemble), k, max_products)
    return replace(found, eigenvalues=1 - found.eigenvalues)


def parts(J: Operator) -> tuple[Operator, Operator]:
    """The symmetric part (J + J^T)/2 and the antisymmetric part (J - J^T)/2."""

    def symmetric(u: Params) -> Params:
        return scale(add(J.mv(u), J.rmv(u)), 0.5)

    def antisymmetric(u: Params) -> Params:
        return scale(sub(J.mv(u), J.rmv(u)), 0.5)

    def minus(u: Params) -> Params:
        return scale(antisymmetric(u), -1.0)

    return (
        Operator(symmetric, symmetric, J.range, J.domain, J.ensemble),
        Operator(antisymmetric, minus, J.range, J.domain, J.ensemble),
    )


def dense_spectrum(matrix: Tensor) -> Spectrum:
    """All eigenvalues of matrices (..., N, N). A matrix that is not finite gives NaN: LAPACK must not see it."""
    matrix = matrix.detach().to("cpu", torch.float64)
    return _eigen(matrix, matrix.shape[-1], None, tolerances(torch.float64).eigen)


def _leading(A: Operator, k: int, max_products: int) -> Spectrum:
    x = ravel(A.domain, A.ensemble)
    rng = torch.Generator().manual_seed(0)  # a fixed start: the same point gives the same figures
    start = torch.randn(x.shape[-1], generator=rng, dtype=torch.float64).to(x)
    tol = tolerances(x.dtype).eigen

    def enough(H: Tensor) -> Tensor:
        j = H.shape[-1]
        if j < k or j % 10:  # an eigenvalue problem a product is too many
            return torch.zeros((), dtype=torch.bool)
        return (_ritz(H, k, tol).status == CONVERGED).all()

    space = max(2 * k + 2, SPACE // (x.numel() * x.element_size()))
    return _ritz(krylov_schur(A.vmv, start.expand_as(x), k, space, max_products, enough), k, tol)


def _ritz(H: Tensor, k: int, tol: float) -> Spectrum:
    eps = torch.finfo(H.dtype).eps
    H = H.detach().to("cpu", torch.float64)
    # No residual is known better than the products it comes from, which are off by eps ||A||.
    rounding = eps * torch.linalg.matrix_norm(torch.nan_to_num(H))
    return _eigen(H[..., :-1, :], k, torch.maximum(H[..., -1, -1], rounding), tol)


def _unsolved(finite: Tensor, k: int) -> Spectrum:
    """No eigenvalue, and why; ``finite`` (...) tells whether the matrix was."""
    nan = torch.full((*finite.shape, k), torch.nan, dtype=torch.float64)
    status = torch.where(finite, NOT_CONVERGED, NOT_FINITE).unsqueeze(-1).expand_as(nan)
    return Spectrum(torch.complex(nan, nan), nan, status)


def _eigen(square: Tensor, k: int, last: Tensor | None, tol: float) -> Spectrum:
    """Eigenvalues of ``square`` (..., n, n); with ``last`` = h_{n+1,n}, the residuals of Ritz vectors."""
    n = square.shape[-1]
    finite = torch.isfinite(square).flatten(-2).all(-1)  # (...)
    if last is not None:
        finite = finite & torch.isfinite(last)
    safe = torch.where(finite[..., None, None], square, torch.zeros_like(square))
    try:
        values, vectors = torch.linalg.eig(safe)  # (..., n), (..., n, n)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if square.dim() == 2:
            return _unsolved(finite, min(k, n))
        each = zip(
            square, [None] * len(square) if last is None else last, strict=True
        )  # which ones, LAPACK does not say
        found = [_eigen(one, k, h, tol) for one, h in each]
        return Spectrum(*(torch.stack([getattr(s, f.name) for s in found]) for f in fields(Spectrum)))
    if last is None:
        residuals = torch.linalg.vector_norm(safe.to(vectors.dtype) @ vectors - vectors * values.unsqueeze(-2), dim=-2)
    else:
        residuals = last.abs().unsqueeze(-1) * vectors[..., -1, :].abs()
    order = values.abs().argsort(dim=-1, descending=True, stable=True)[..., : min(k, n)]
    values, residuals = values.gather(-1, order), residuals.gather(-1, order)
    largest = values.abs().amax(-1, keepdim=True)
    residuals = torch.where(
        largest > 0, residuals / torch.where(largest > 0, largest, torch.ones_like(largest)), residuals
    )
    keep = finite.unsqueeze(-1)
    status = torch.where(keep, torch.where(residuals <= tol, CONVERGED, NOT_CONVERGED), NOT_FINITE)
    nan = torch.full_like(residuals, torch.nan)
    return Spectrum(torch.where(keep, values, torch.complex(nan, nan)), torch.where(keep, residuals, nan), status)
