"""A leader and its followers: stackelberg and follow-the-ridge.

Player 1 leads, the others are the followers F; J_FF and J_F1 are blocks of J. The followers' best response to theta_1
is where v_F = 0; if theta_1 moves, it moves by r' = -J_FF^{-1} J_F1 times as much.

stackelberg        d_1 = grad_1 l_1 + r'^T grad_F l_1,   d_F = v_F
                   The leader descends its loss as a function of theta_1 alone, with the followers responding.
                   Fiez, Chasnov and Ratliff (2020, arXiv 1906.01217)
follow-the-ridge   theta_1+ = theta_1 - s_1,   theta_F+ = theta_F - s_F - r' s_1,   s_i = eta_i rule(v_i)
                   The followers also respond to the leader's step s_1, and so stay on the ridge v_F = 0.
                   Wang et al. (2020, arXiv 1910.07512), Alg. 1, where s = eta v; with the rule momentum it is their
                   method if r' is constant

The games may be general-sum. Several followers respond jointly. ``damping`` is added to the diagonal of J_FF.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.errors import UsageError
from ....core.game.game import Game
from ....core.game.tree import Params, ravel, sub, unravel
from ....core.options import NonNegative, option
from ....core.solver.inner_solve import Freeze, InnerSolve, Report, System, solve
from ....core.solver.solver import Composed, Draw, Memory, StepInfo


@dataclass(frozen=True)
class Stackelberg(InnerSolve, Composed):
    """theta - lr * rule(the leader's total derivative, and v for the followers)."""

    leader: str | None = option(None, "the leading player; by default the first")
    damping: NonNegative = option(0.0, "added to the followers' block of J")
    _: KW_ONLY
    method: Literal["auto", "dense", "cg", "gmres"] = option(
        "auto", "inner solve; auto is dense when small, else gmres; cg is for a single follower"
    )

    unconstrained = "the followers' answer r' = -J_FF^{-1} J_F1 is one that nothing stops"

    def play(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        d, solved = self.total_derivative(local, *self._roles(local))
        params, rule = self.move(local, params, {i: d[i] for i in params}, memory["rule"])
        return params, {**memory, "rule": rule}, StepInfo.at(local, **solved)

    def total_derivative(self, local: LocalGame, leader: str, followers: tuple[str, ...]) -> tuple[Params, Report]:
        """d, the direction of all players, and how the inner solve went."""
        v, J = local.gradient(), local.jacobian()
        g = local.loss_gradient(leader)
        z, solved = self._solve(local, followers, {j: g[j] for j in followers}, transposed=True)
        return {**v, **sub({leader: v[leader]}, J.between(followers, (leader,)).rmv(z))}, solved

    def _roles(self, local: LocalGame) -> tuple[str, tuple[str, ...]]:
        """The leader and the followers. Raises UsageError where there are none, or cg cannot solve for them."""
        players = local.players
        leader = players[0] if self.leader is None else self.leader
        if leader not in players or len(players) < 2:
            raise UsageError(
                f"leader {leader!r}: one of at least two players leads; this game has {', '.join(players)}."
            )
        followers = tuple(j for j in players if j != leader)
        if self.method == "cg" and len(followers) > 1:
            raise UsageError(
                f"method cg needs a symmetric J_FF, which several followers ({', '.join(followers)}) do not have: "
                "use gmres."
            )
        return leader, followers

    def _solve(
        self, local: LocalGame, followers: tuple[str, ...], b: Params, transposed: bool
    ) -> tuple[Params, Report]:
        """J_FF^{-1} b, or J_FF^{-T} b, with the damping; and how the solve went."""

        def system(freeze: Freeze) -> System:
            J = local.at(freeze(local.params)).only(followers).jacobian()
            A = J.T if transposed else J

            def matrix() -> Tensor:
                dense = A.dense()
                return dense + self.damping * torch.eye(dense.shape[-1], dtype=dense.dtype, device=dense.device)

            return System(lambda u: A.vmv(u) + self.damping * u, lambda u: A.vrmv(u) + self.damping * u, matrix)

        x, solved = solve(system, ravel(b, local.ensemble), self.method, self.tol, self.max_iter)
        return unravel(x, b), solved


@dataclass(frozen=True)
class FollowTheRidge(Stackelberg):
    """theta - lr * rule(v), and the followers' response to the leader's step."""

    def play(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        leader, followers = self._roles(local)
        v, J = local.gradient(), local.jacobian()
        steps, rule = self.steps(local, params, {i: v[i] for i in params}, memory["rule"])
        J_F1_s = J.between(followers, (leader,)).mv({leader: steps[leader]})
        response, solved = self._solve(local, followers, J_F1_s, transposed=False)
        steps |= sub({j: steps[j] for j in followers}, response)
        return sub(params, steps), {**memory, "rule": rule}, StepInfo.at(local, **solved)
