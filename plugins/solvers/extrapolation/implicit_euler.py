"""Implicit Euler, the proximal point method.

    theta+ = theta - eta v(theta+)

The equation is solved by Newton's method on one batch. Each of its systems, (I + eta J) dx = -(x - theta + eta v(x)),
is solved densely or by GMRES. It has converged when the residual has fallen to ``tol`` times the first, or when dx is
no larger than rounding errors of x. Rockafellar (1976); Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), section
6, mention its stability but do not try it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, ravel, tmap, unravel
from ....core.options import Count, NonNegative, StepSize, option
from ....core.solver.inner_solve import Freeze, Report, System, needs_derivative, solve
from ....core.solver.solver import Draw, Memory, Solver, StepInfo
from ....core.tolerances import tolerances
from ....core.tracing.loops import repeated


@dataclass(frozen=True)
class ImplicitEuler(Solver):
    """theta - lr * v(theta+), with theta+ the new point."""

    lr: StepSize = option(0.01, "step size: a number, one per player, or one per member")
    method: Literal["auto", "dense", "gmres"] = option("auto", "inner solve; auto is dense when small")
    tol: NonNegative | None = option(None, "residual of the fixed point, relative to the first; default by dtype")
    max_iter: Count = option(200, "iterations of each inner solve at most")
    newton: Count = option(20, "Newton steps at most")

    unconstrained = "its step solves an equation, theta+ = theta - lr v(theta+), not the inequality of a strategy set"

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        eta = ravel(local.scale(self.lr, tmap(torch.ones_like, params)), local.ensemble)  # (..., N)
        theta = ravel(params, local.ensemble)
        fixed = theta.detach()
        tol = tolerances(theta.dtype).inner if self.tol is None else self.tol

        def equation(x: Tensor, start: Tensor) -> Tensor:
            return x - start + eta * ravel(local.at(unravel(x, params)).gradient(), local.ensemble)

        def newton(x: Tensor, g: Tensor, size: Tensor, total: Tensor, done: Tensor) -> tuple[Tensor, ...]:
            dx, solved = self._solve(local.at(unravel(x, params)), eta, -g)
            dx = torch.where(done.unsqueeze(-1), 0.0, dx)
            x, total = x + dx, total + torch.where(done, 0, solved["iterations"])
            g = equation(x, fixed)
            size = norm(g)
            # Near an equilibrium v, and with it the first residual, is below the rounding errors of x. Then tol cannot
            # be reached, and Newton's method is done when its steps are of that size.
            done = done | (size <= tol * first) | (norm(dx) <= 4 * torch.finfo(x.dtype).eps * norm(x))
            return x, g, size, total, done

        g = eta * ravel(local.gradient(), local.ensemble).detach()  # the equation at theta; v there is reported, too
        first = norm(g)
        total = torch.zeros(fixed.shape[:-1], dtype=torch.int64, device=fixed.device)
        x, _, size, total, done = repeated(
            newton, (fixed, g, first, total, first == 0), lambda *state: state[-1], self.newton
        )
        residual = torch.where(first == 0, size, size / torch.where(first == 0, 1.0, first))
        if needs_derivative(theta):
            # The loop above works on constants. One more Newton step from the solution does not move x, but gives it
            # the derivative of the implicit function, (I + eta J)^{-1}.
            x = x + self._solve(local.at(unravel(x, params)), eta, -equation(x, theta))[0]
        report: Report = {"iterations": total, "residual": residual, "converged": done}
        return unravel(x, params), memory, StepInfo.at(local, **report)

    def _solve(self, there: LocalGame, eta: Tensor, b: Tensor) -> tuple[Tensor, Report]:
        def system(freeze: Freeze) -> System:
            J = there.jacobian()

            def matrix() -> Tensor:
                return torch.eye(b.shape[-1], dtype=b.dtype, device=b.device) + eta.unsqueeze(-1) * J.dense()

            return System(lambda u: u + eta * J.vmv(u), lambda u: u + J.vrmv(eta * u), matrix)

        return solve(system, b, self.method, None, self.max_iter)


def norm(x: Tensor) -> Tensor:
    """The norm over the last axis: (..., N) to (...)."""
    return torch.linalg.vector_norm(x, dim=-1)
