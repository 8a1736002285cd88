"""What cgd and acgd have in common: the step d for given step sizes eta, one for each parameter.

    d = -(I + eta J_off)^{-1} eta v,   solved as   (I + S J_off S) X = -S v,   d = S X,   S = sqrt(eta)

Two players whose mixed derivatives are opposite (zero-sum) have J_off = [[0, B], [-B^T, 0]]. Eliminating one of
them leaves a symmetric positive definite system for the other, with M = S_x B S_y:

    (I + M M^T) X = -S_x (v_x - B eta_y v_y),    d_x = S_x X,    d_y = S_y M^T X - eta_y v_y

which conjugate gradient solves in 2k + 1 products for k iterations, since M^T X is computed along with X. Either
player can be the one solved for; by default it is the one with fewer parameters. Schäfer, Zheng and Anandkumar (2020,
arXiv 1910.05852), Alg. 1. Other games: GMRES for all players at once. Small systems are solved densely.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.errors import UsageError
from ....core.game.game import Game
from ....core.game.tree import Params, Player, add, ravel, unravel, zeros_like
from ....core.options import option
from ....core.solver import inner_solve
from ....core.solver.inner_solve import Freeze, InnerSolve, Report, System, solve
from ....core.solver.krylov import conjugate_gradient_with_image
from ....core.solver.solver import Draw, Memory, Solver, StepInfo

NashStep = Callable[[Params, Params | None], tuple[Params, Report]]
"""The step d and how its solve went, as a function of eta and of the step that the solve starts from (None: from 0)."""


@dataclass(frozen=True, kw_only=True)
class Competitive(InnerSolve, Solver):
    """theta + d, under the step sizes that a subclass gives."""

    solve_for: Player | None = option(None, "of two players in a zero-sum game; by default who has fewer parameters")
    warm_start: bool = option(
        False, "start the inner solve at the last step: two products more, to be saved again where steps hardly change"
    )
    hold: Player | None = option(None, "a player who is reckoned with, but does not move")

    unconstrained = "its step is the Nash equilibrium of a local game in which everyone may go anywhere"

    @abstractmethod
    def step_sizes(self, local: LocalGame, memory: Memory) -> tuple[Params, Memory]:
        """eta, a number of 0 or more for each parameter, and the next memory of what it is made from."""

    def init(self, game: Game, params: Params) -> Memory:
        return {"d": zeros_like(params)} if self.warm_start else {}

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        nash_step = self._nash_step(local)  # before v is first asked for: both come from one pass through the losses
        eta, after = self.step_sizes(local, memory)
        d, solved = nash_step(eta, memory.get("d"))
        moved = add(params, d)
        if self.hold is not None:
            if self.hold not in local.players:
                raise UsageError(f"hold is {self.hold!r}; the players are {', '.join(local.players)}.")
            moved = {**moved, self.hold: params[self.hold]}
        return moved, {**after, "d": d} if self.warm_start else after, StepInfo.at(local, **solved)

    def _nash_step(self, local: LocalGame) -> NashStep:
        """Raises UsageError where ``solve_for`` is no player of the game, or there is no choice of one."""
        if self.solve_for is not None:
            self._check_choice(local, self.solve_for)
        theta = ravel(local.params, local.ensemble)  # (..., N)
        symmetric = self.method in ("auto", "cg") and local.zero_sum and len(local.players) == 2
        dense = inner_solve.is_dense(self.method, theta.shape[-1], theta)
        if symmetric and not dense and not inner_solve.needs_derivative(theta):
            sizes = {i: ravel({i: local.params[i]}, local.ensemble).shape[-1] for i in local.players}
            fewest = min(sizes, key=sizes.__getitem__)
            return _for_one_player(
                local, self.solve_for or fewest, inner_solve.tolerance(self.tol, theta), self.max_iter
            )
        return _for_everyone(local, "gmres" if self.method == "cg" else self.method, self.tol, self.max_iter)

    def _check_choice(self, local: LocalGame, player: Player) -> None:
        players = f"the players are {', '.join(local.players)}"
        if player not in local.players:
            raise UsageError(f"solve_for is {player!r}; {players}.")
        if len(local.players) != 2 or not local.zero_sum:
            why = players if len(local.players) != 2 else "this one is not known to be one"
            raise UsageError(f"solve_for chooses one of the two players of a zero-sum game; {why}: leave it out.")
        if self.method in ("dense", "gmres"):
            raise UsageError(
                f"method {self.method} solves for both players at once: leave solve_for out, or use auto or cg."
            )


def _for_everyone(local: LocalGame, method: str, tol: float | None, max_iter: int) -> NashStep:
    """(I + S J_off S) X = -S v, densely or by GMRES."""

    def nash_step(eta: Params, last: Params | None) -> tuple[Params, Report]:
        S = ravel(eta, local.ensemble).sqrt()

        def system(freeze: Freeze) -> System:
            J_off, s = local.at(freeze(local.params)).jacobian().off_diagonal(), freeze(S)

            def matrix() -> Tensor:
                eye = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
                return eye + s.unsqueeze(-1) * J_off.dense() * s.unsqueeze(-2)

            return System(lambda x: x + s * J_off.vmv(s * x), lambda x: x + s * J_off.vrmv(s * x), matrix)

        b = -S * ravel(local.gradient(), local.ensemble)
        start = None if last is None else _unscaled(ravel(last, local.ensemble), S)
        X, solved = solve(system, b, method, tol, max_iter, start)
        return unravel(S * X, local.params), solved

    return nash_step


def _for_one_player(local: LocalGame, x: Player, tol: float, max_iter: int) -> NashStep:
    """(I + M M^T) X = -S_x (v_x - B eta_y v_y) by conjugate gradient; the other player's step follows."""
    (y,) = (i for i in local.players if i != x)
    J = local.jacobian()
    B, C = J.block(x, y), J.block(y, x)  # C = -B^T
    v = local.gradient(B.mv, C.mv)

    def vector(player: Player, tree: Params) -> Tensor:
        return ravel({player: tree[player]}, local.ensemble)

    def nash_step(eta: Params, last: Params | None) -> tuple[Params, Report]:
        eta_y, v_x, v_y = vector(y, eta), vector(x, v), vector(y, v)
        S_x, S_y = vector(x, eta).sqrt(), eta_y.sqrt()

        def system(p: Tensor) -> tuple[Tensor, Tensor]:
            Mt_p = -S_y * C.vmv(S_x * p)
            return p + S_x * B.vmv(S_y * Mt_p), Mt_p

        b = -S_x * (v_x - B.vmv(eta_y * v_y))
        start = None if last is None else _unscaled(vector(x, last), S_x)
        solution, Mt_X = conjugate_gradient_with_image(system, b, v_y, tol, max_iter, start)
        d_x, d_y = S_x * solution.x, S_y * Mt_X - eta_y * v_y
        theta = local.params
        d = {**unravel(d_x, {x: theta[x]}), **unravel(d_y, {y: theta[y]})}
        return {i: d[i] for i in local.players}, inner_solve.report(solution)

    return nash_step


def _unscaled(d: Tensor, S: Tensor) -> Tensor:
    """The X with S X = d, where S is of today's step sizes and ``d`` may have been made with others; 0 where S is."""
    return torch.where(S == 0, 0.0, d / S)
