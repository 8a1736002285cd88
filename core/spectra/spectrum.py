"""Eigenvalues of an operator: all of them if it is small, else those of largest modulus by Arnoldi's method."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..derivatives.operator import Operator
from ..game.tree import Params, add, leaves, ravel, scale, sub, tmap
from ..tolerances import tolerances
from .announcement import counted_products
from .eigenvalues import CONVERGED, NOT_DIFFERENTIABLE, RITZ_SLACK, Spectrum, dense_spectrum, ritz_spectrum
from .krylov_schur import krylov_schur
from .update_map import UpdateMap

DENSE = 2000  # dimension up to which the matrix is built; for larger ones LAPACK takes longer than a hundred products
LEADING = 6  # eigenvalues of a large F' that must converge: the first decides, the others show that it is the first
ACCEPTED = 100.0  # an eigenvalue of F' counts as converged with this multiple of the error for which its space stops
SPACE = 512 << 20  # bytes for a Krylov space; it is larger if twice the eigenvalues asked for need more


def spectrum(A: Operator, k: int = 20, max_products: int = 100) -> Spectrum:
    """All eigenvalues of ``A`` up to dimension 2,000, else the ``k`` of largest modulus from a Krylov space.

    Eigenvalues that have not converged are not left out: their status and residual say so.
    """
    N = sum(x[0].numel() if A.ensemble else x.numel() for x in leaves(A.domain))
    if N <= DENSE:
        return dense_spectrum(A.dense())
    return _leading(A, min(k, N), min(max_products, N), tolerances(leaves(A.domain)[0].dtype).eigen)


def update_spectrum(F: UpdateMap, k: int = 20, max_products: int = 200) -> Spectrum:
    """Eigenvalues of F', the derivative of one step: all up to 2,000 numbers of state, else ``k`` of largest modulus.

    Those of a large state are Ritz values of F'^T in the units of :meth:`UpdateMap.scale`. The Arnoldi space grows
    until the leading ones have converged or the products are spent. The modulus of a converged one is a lower bound of
    the spectral radius; there may be a larger eigenvalue that the space has not found. A Ritz value that has not
    converged bounds nothing: F' is not normal, and even one with a small residual may lie far from all eigenvalues.
    Residuals are relative to the largest |lambda|. Where a step rule takes the root of exactly 0, whose derivative is
    set to 0, the status is "not_differentiable".
    """
    if F.size <= DENSE:
        return _with_status(F, dense_spectrum(F.derivative().dense()))
    tol = tolerances(F.here.dtype).radius
    return _with_status(F, _leading(_adjoint(F), min(k, F.size), max_products, tol, LEADING))


def update_spectrum_far_from_one(F: UpdateMap, k: int = 20, max_products: int = 100) -> Spectrum | None:
    """The ``k`` eigenvalues of F' farthest from 1, those first; None where `update_spectrum` has all eigenvalues.

    They are computed as the leading ones of I - F'^T. Where a step is small, F' is close to the identity and its own
    leading eigenvalues may be a cluster at 1. Residuals are those of I - F', relative to its largest Ritz value.
    """
    if F.size <= DENSE:
        return None
    A = _adjoint(F)
    difference = Operator(lambda w: sub(w, A.mv(w)), lambda u: sub(u, A.rmv(u)), A.range, A.domain, A.ensemble)
    found = _leading(difference, min(k, F.size), max_products, tolerances(F.here.dtype).radius)
    return _with_status(F, replace(found, eigenvalues=1 - found.eigenvalues))


def _adjoint(F: UpdateMap) -> Operator:
    """(D^{-1} F' D)^T, where the diagonal matrix D has the units of the state."""
    A, D = F.derivative(), F.scale()

    def mv(w: Params) -> Params:
        return tmap(torch.mul, A.rmv(tmap(torch.div, w, D)), D)

    def rmv(u: Params) -> Params:
        return tmap(torch.div, A.mv(tmap(torch.mul, u, D)), D)

    return Operator(mv, rmv, A.domain, A.range, A.ensemble)


def _with_status(F: UpdateMap, found: Spectrum) -> Spectrum:
    """``found`` with the status of eigenvalues of F': converged ones, unless F' does not exist."""
    accepted = found.errors <= ACCEPTED * RITZ_SLACK * tolerances(F.here.dtype).radius  # recorded beside it
    converged = accepted | (found.status == CONVERGED)
    status = torch.where(F.kinks().cpu().unsqueeze(-1), NOT_DIFFERENTIABLE, CONVERGED)
    return replace(found, status=torch.where(converged, status, found.status))


def symmetric_parts(J: Operator) -> tuple[Operator, Operator]:
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


def _leading(A: Operator, k: int, max_products: int, tol: float, wanted: int | None = None) -> Spectrum:
    """The ``k`` leading Ritz values after ``max_products`` products, or once ``wanted`` (default: all) converge."""
    x = ravel(A.domain, A.ensemble)
    rng = torch.Generator().manual_seed(0)  # a fixed start: the same point gives the same numbers
    start = torch.randn(x.shape[-1], generator=rng, dtype=torch.float64).to(x)

    def enough(H: Tensor) -> Tensor:
        j = H.shape[-1]
        if j < k or j % 10:  # to solve the eigenvalue problem after every product would take too long
            return torch.zeros((), dtype=torch.bool)
        return (ritz_spectrum(H, k, tol).status[..., :wanted] == CONVERGED).all()

    space = max(2 * k + 2, SPACE // (x.numel() * x.element_size()))
    with counted_products(max_products) as told:

        def product(u: Tensor) -> Tensor:
            told()
            return A.vmv(u)

        return ritz_spectrum(krylov_schur(product, start.expand_as(x), k, space, max_products, enough), k, tol)
