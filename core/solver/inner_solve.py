"""Inner solves: the linear system that some solvers have in every step, solved densely if small, else matrix-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..options import Count, NonNegative, option
from ..tolerances import tolerances
from .krylov import Solution, conjugate_gradient, gmres

DENSE_UNKNOWNS = 200  # up to so many, method "auto" builds the matrix
DENSE_DERIVATIVE = 5000  # up to so many, a step that is being differentiated builds it, whatever the method

Vector = Callable[[Tensor], Tensor]
Report = dict[str, Tensor]
"""How a solve went: "iterations", "residual" (relative) and "converged", each (...)."""
Freeze = Callable[[Any], Any]


@dataclass(frozen=True)
class System:
    """A linear map of vectors (..., N): the products u -> A u and w -> A^T w, and the matrix A (..., N, N)."""

    A: Vector
    At: Vector
    matrix: Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class InnerSolve:
    """The options of a solver with an inner solve; they stand after the solver's own."""

    method: Literal["auto", "dense", "cg", "gmres"] = option("auto", "inner solve; auto is dense when small")
    tol: NonNegative | None = option(None, "relative residual of the inner solve; by default 1e-10, in float32 3e-5")
    max_iter: Count = option(200, "iterations of the inner solve at most")


def is_dense(method: str, size: int, *known: Tensor) -> bool:
    """Whether a system of ``size`` unknowns is solved densely. ``known`` are the tensors that it is made of."""
    small = method == "auto" and size <= DENSE_UNKNOWNS
    return method == "dense" or small or (size <= DENSE_DERIVATIVE and needs_derivative(*known))


def needs_derivative(*known: Tensor) -> bool:
    """Whether the step is being differentiated by autograd."""
    return any(x.requires_grad for x in known)


def tolerance(tol: float | None, like: Tensor) -> float:
    """The relative residual to reach: the option ``tol``, or if it is None the default for the dtype."""
    return tolerances(like.dtype).inner if tol is None else tol


def solve(
    system: Callable[[Freeze], System],
    b: Tensor,
    method: str,
    tol: float | None,
    max_iter: int,
    start: Tensor | None = None,
) -> tuple[Tensor, Report]:
    """Solve A x = b for vectors (..., N); also returns how it went.

    ``method`` is auto, dense, cg (A symmetric positive definite) or gmres. GMRES may start at ``start``.
    ``system(freeze)`` builds A from tensors to which it has applied ``freeze``. If the step is being differentiated,
    a frozen copy of A (``freeze`` is detach) is solved, and :func:`with_implicit_derivative` gives x its derivative.
    To differentiate the N products that make the matrix would cost N times as much.
    """
    live, dense = system(lambda x: x), is_dense(method, b.shape[-1], b)
    if not needs_derivative(b):
        return solve_dense(live.matrix(), b, tol) if dense else _iterated(live.A, b, method, tol, max_iter, start)
    frozen, fixed = system(detach), b.detach()
    adjoint: Vector
    if dense:
        A = frozen.matrix()
        (x, solved), adjoint = solve_dense(A, fixed, tol), transposed_solve(A)
    else:
        x, solved = _iterated(frozen.A, fixed, method, tol, max_iter, start)
        adjoint = lambda w: gmres(frozen.At, w, tolerance(tol, b), max_iter).x  # noqa: E731
    return with_implicit_derivative(x, b - live.A(x), adjoint), solved


def _iterated(
    A: Vector, b: Tensor, method: str, tol: float | None, max_iter: int, start: Tensor | None
) -> tuple[Tensor, Report]:
    """x by conjugate gradient or GMRES, and how it went."""
    if method == "cg":
        found = conjugate_gradient(A, b, tolerance(tol, b), max_iter)
    else:
        found = gmres(A, b, tolerance(tol, b), max_iter, None if start is None else start.detach())
    return found.x, report(found)


def detach(x: Any) -> Any:
    """``x`` with all tensors in it detached."""
    return tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, x)


def with_implicit_derivative(x: Tensor, residual: Tensor, adjoint: Vector) -> Tensor:
    """``x``, the solution of A x = b, with the derivative of the implicit function: dx = A^{-1} d(b - A x).

    ``residual`` is b - A x, differentiable in A and b but not in x. ``adjoint(w)`` solves A^T z = w. To differentiate
    the iterations instead would be wrong where b is 0: no iteration is made there, and the derivative would be 0.
    """
    return _Implicit.apply(residual, x, adjoint)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(residual: Tensor, x: Tensor, adjoint: Vector) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Vector], output: Tensor) -> None:
        ctx.adjoint = inputs[2]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.adjoint(grads[0]), None, None


def solve_dense(A: Tensor, b: Tensor, tol: float | None = None) -> tuple[Tensor, Report]:
    """Solve A x = b by LU factorisation, A (..., N, N), b (..., N); also returns how it went.

    If A is singular, or A or b is not finite, x is not finite, and the run then ends as diverged. With an almost
    singular A rounding can give an x that does not solve the system: "converged" says whether the relative residual
    is at most ``tol``. LAPACK is never called on numbers that are not finite. For b = 0 the solution is 0, whatever A
    is, so that a solver at rest stays at rest.
    """
    finite = torch.isfinite(A).all(-1).all(-1) & torch.isfinite(b).all(-1)  # (...)
    A = torch.where(finite[..., None, None], A, torch.eye(A.shape[-1], dtype=A.dtype, device=A.device))
    b = torch.where(finite[..., None], b, torch.ones_like(b))
    x, _ = torch.linalg.solve_ex(A, b)
    x = torch.where((b == 0).all(-1, keepdim=True) & ~torch.isfinite(x), torch.zeros_like(x), x)
    x = torch.where(finite[..., None], x, torch.full_like(x, torch.nan))
    residual = torch.linalg.vector_norm(b - (A @ x.unsqueeze(-1)).squeeze(-1), dim=-1)
    size = torch.linalg.vector_norm(b, dim=-1)
    relative = torch.where(size == 0, torch.zeros_like(size), residual / size)
    iterations = torch.zeros(relative.shape, dtype=torch.int64, device=b.device)
    return x, {"iterations": iterations, "residual": relative, "converged": relative <= tolerance(tol, b)}


def transposed_solve(A: Tensor) -> Vector:
    """w -> A^{-T} w for vectors (..., N), from one factorisation of A (..., N, N); NaN where A is not finite."""
    finite = torch.isfinite(A).all(-1).all(-1)[..., None]
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    LU, pivots, _ = torch.linalg.lu_factor_ex(torch.where(finite[..., None], A, eye))

    def solved(w: Tensor) -> Tensor:
        z = torch.linalg.lu_solve(LU, pivots, w.unsqueeze(-1), adjoint=True).squeeze(-1)
        return torch.where(finite, z, torch.nan)

    return solved


def report(solution: Solution) -> Report:
    """The report of an iterative solve."""
    return {"iterations": solution.iterations, "residual": solution.residual, "converged": solution.converged}
