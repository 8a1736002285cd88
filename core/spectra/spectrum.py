"""Eigenvalues of an operator: all of them when it is small, the largest by Arnoldi's method when it is not."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..derivatives.operator import Operator
from ..game.tree import Params, add, leaves, ravel, scale, sub, tmap
from ..tolerances import tolerances
from .eigenvalues import CONVERGED, NOT_DIFFERENTIABLE, Spectrum, dense_spectrum, ritz_spectrum
from .krylov_schur import krylov_schur
from .update_map import UpdateMap

DENSE = 2000  # dimension up to which the matrix is built: beyond, LAPACK takes longer than a hundred products
LEADING = 6  # eigenvalues of a large F' that have to converge: the first decides, but who is first is told by others
BELIEVED = 100.0  # times what a space grows for: what an eigenvalue of F' may be off by, which is recorded with it
SPACE = 512 << 20  # bytes that a Krylov space takes, or two vectors more than twice the eigenvalues asked for


def spectrum(A: Operator, k: int = 20, max_products: int = 100) -> Spectrum:
    """All eigenvalues of ``A`` up to dimension 2,000, else the ``k`` of largest modulus that a Krylov space yields.

    What has not converged is reported with its residual, never left out.
    """
    N = sum(x[0].numel() if A.ensemble else x.numel() for x in leaves(A.domain))
    return dense_spectrum(A.dense()) if N <= DENSE else _leading(A, min(k, N), min(max_products, N))


def update_spectrum(F: UpdateMap, k: int = 20, max_products: int = 200) -> Spectrum:
    """The eigenvalues of F', the derivative of one step: all up to 2,000 numbers of state, else the ``k`` largest.

    Those of a large state are Ritz values of F'^T in the units of :meth:`UpdateMap.scale`: an Arnoldi space grows until
    the leading ones have converged or the products are spent. One that has converged is an eigenvalue to within the
    tolerance: its residual times its condition is below. So its modulus is a lower bound of the spectral radius, and no
    more, as there may be a larger one that the space has not met. One that has not converged bounds nothing: F' is
    not normal, and a Ritz value, even one whose residual is small, may lie outside of all eigenvalues. Residuals are
    relative to the largest |lambda|. Where a step rule takes the root of exactly 0, which counts as flat there, every
    status says so.
    """
    if F.size <= DENSE:
        return _flagged(F, dense_spectrum(F.derivative().dense()))
    tol = tolerances(F.here.dtype).radius
    return _flagged(F, _leading(_adjoint(F), min(k, F.size), max_products, LEADING, tol, BELIEVED))


def update_far_spectrum(F: UpdateMap, k: int = 20, max_products: int = 100) -> Spectrum | None:
    """The ``k`` eigenvalues of F' farthest from 1, which tell what moves fast; None where all of F' is known.

    They are found as the leading ones of I - F'^T: of a small step F' is close to the identity, and its own leading
    eigenvalues may be a cluster at 1. Farthest from 1 first; residuals are those of I - F', relative to its largest
    Ritz value.
    """
    if F.size <= DENSE:
        return None
    A = _adjoint(F)
    away = Operator(lambda w: sub(w, A.mv(w)), lambda u: sub(u, A.rmv(u)), A.range, A.domain, A.ensemble)
    found = _leading(away, min(k, F.size), max_products, tol=tolerances(F.here.dtype).radius, believed=BELIEVED)
    return _flagged(F, replace(found, eigenvalues=1 - found.eigenvalues))


def _adjoint(F: UpdateMap) -> Operator:
    """(D^{-1} F' D)^T, D the units of the state."""
    A, D = F.derivative(), F.scale()

    def mv(w: Params) -> Params:
        return tmap(torch.mul, A.rmv(tmap(torch.div, w, D)), D)

    def rmv(u: Params) -> Params:
        return tmap(torch.div, A.mv(tmap(torch.mul, u, D)), D)

    return Operator(mv, rmv, A.domain, A.range, A.ensemble)


def _flagged(F: UpdateMap, found: Spectrum) -> Spectrum:
    """``found``, with what is converged where a root has no derivative called so."""
    bent = F.kinks().cpu().unsqueeze(-1) & (found.status == CONVERGED)
    return replace(found, status=torch.where(bent, NOT_DIFFERENTIABLE, found.status))


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


def _leading(
    A: Operator, k: int, max_products: int, wanted: int | None = None, tol: float | None = None, believed: float = 1.0
) -> Spectrum:
    """The ``k`` leading Ritz pairs after ``max_products`` products, or as soon as ``wanted`` (all) have converged.

    What is off by less than ``believed`` times that has converged in the end.
    """
    x = ravel(A.domain, A.ensemble)
    rng = torch.Generator().manual_seed(0)  # a fixed start: the same point gives the same figures
    start = torch.randn(x.shape[-1], generator=rng, dtype=torch.float64).to(x)
    tol = tolerances(x.dtype).eigen if tol is None else tol

    def enough(H: Tensor) -> Tensor:
        j = H.shape[-1]
        if j < k or j % 10:  # an eigenvalue problem a product is too many
            return torch.zeros((), dtype=torch.bool)
        return (ritz_spectrum(H, k, tol).status[..., :wanted] == CONVERGED).all()

    space = max(2 * k + 2, SPACE // (x.numel() * x.element_size()))
    return ritz_spectrum(krylov_schur(A.vmv, start.expand_as(x), k, space, max_products, enough), k, believed * tol)
