"""Alternating-extrapolation gradient descent: players move in turn, each seeing extrapolated points of the others.

    x_{k+1} = x_k - eta v_x(x_k, y'_k),          x'_{k+1} = x_k - gamma eta v_x(x_k, y'_k)
    y_{k+1} = y_k - eta v_y(x'_{k+1}, y_k),      y'_{k+1} = y_k - gamma eta v_y(x'_{k+1}, y_k),        y'_0 = y_0

Lee, Cho and Yun (2024, arXiv 2402.10475), Alg. 1, whose delta is the gamma of y. gamma = 1 is altgd; 0 for the first
and 1 for the second player is simgd. On bilinear games, where both of these fail, it converges linearly for gamma > 1.
More than two players are our generalisation.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, Setting, add, sub, zeros_like
from ....core.options import option
from ....core.solver.solver import Composed, Draw, Memory, StepInfo


@dataclass(frozen=True)
class AlexGda(Composed):
    """theta_i - lr * rule(v_i at the others' extrapolated points) for each player in turn."""

    gamma: Setting = option(2.0, "length of the extrapolation in steps, one number or one per player")

    def remember(self, params: Params) -> Memory:
        return {"ahead": zeros_like(params)}  # theta' - theta

    def play(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        rule, ahead = memory["rule"], memory["direction"]["ahead"]
        losses: dict[str, Tensor] = {}
        gradient: Params = {}
        for i in game.players:
            local = LocalGame.of(game, {**add(params, ahead), i: params[i]}, draw()).only((i,))
            d = self.direction(local)
            step, rule = self.steps(local, local.params, d, rule)
            here = local.project({**local.params, **sub({i: params[i]}, step)})
            there = local.project({**local.params, **sub({i: params[i]}, local.scale(self.gamma, step))})
            params, ahead = {**params, i: here[i]}, {**ahead, **sub({i: there[i]}, {i: here[i]})}
            losses[i], gradient[i] = local.losses()[i], local.gradient()[i]
        return params, {"direction": {"ahead": ahead}, "rule": rule}, StepInfo(losses, gradient)
