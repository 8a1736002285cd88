"""Implicit Euler, the proximal point method.

    theta+ = theta - eta v(theta+)

solved by Newton's method, each step's system (I + eta J) dx = -(x - theta + eta v(x)) densely or by GMRES, on one
batch. Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), section 6, call its stability "appealing" and leave
it undone; Rockafellar (1976). Newton's method has converged at ``tol``, or when its step is lost in rounding.
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
from ....core.solver.inner_solve import Freeze, Report, System, differentiated, solve
from ....core.solver.solver import Draw, Memory, Solver, StepInfo
from ....core.tolerances import tolerances


@dataclass(frozen=True)
class ImplicitEuler(Solver):
    """theta - lr * v(theta+)."""

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

        def at(x: Tensor, start: Tensor) -> tuple[LocalGame, Tensor]:
            there = local.at(unravel(x, params))
            return there, x - start + eta * ravel(there.gradient(), local.ensemble)

        x, total = fixed, torch.zeros(fixed.shape[:-1], dtype=torch.int64, device=fixed.device)
        there, g = at(x, fixed)
        first = size = norm(g)
        done = first == 0
        for _ in range(self.newton):
            if bool(done.all()):
                break
            dx, inner = self._solve(there, eta, -g)
            dx = torch.where(done.unsqueeze(-1), 0.0, dx)
            x, total = x + dx, total + torch.where(done, 0, inner["iterations"])
            there, g = at(x, fixed)
            size = norm(g)
            # Near an equilibrium v, and so the first residual, is smaller than the rounding of x: no step is better.
            done = done | (size <= tol * first) | (norm(dx) <= 4 * torch.finfo(x.dtype).eps * norm(x))
        residual = torch.where(first == 0, size, size / torch.where(first == 0, 1.0, first))
        if differentiated(theta):
            # The loop above stood still for the derivative. One more Newton step from the solution moves nothing and
            # has that of the implicit function, (I + eta J)^{-1}.
            there, g = at(x, theta)
            x = x + self._solve(there, eta, -g)[0]
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
    return torch.linalg.vector_norm(x, dim=-1)
