"""Competitive gradient descent.

Each player's step d_i is its strategy in the Nash equilibrium of the regularised local game

    min over d_i of   v_i . d_i + sum_{j != i} d_i . J_ij d_j + ||d_i||^2 / (2 eta_i)

whose solution for all players at once is    d = -(I + eta J_off)^{-1} eta v,    J_off the off-diagonal blocks of J.

Zero-sum and general-sum: Schäfer and Anandkumar (2019, arXiv 1905.12103), eq. 4; n players, polymatrix: Ma et al.
(2021, arXiv 2103.04491); GANs: Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, Player, add, tmap, zeros_like
from ....core.options import Count, NonNegative, StepSize, option
from ....core.solver.solver import Draw, Memory, Solver, StepInfo
from .system import competitive


@dataclass(frozen=True)
class Cgd(Solver):
    """theta + d, with d the Nash step of the local game."""

    lr: StepSize = option(0.01, "eta: a number, one per player, or one per member")
    method: Literal["auto", "dense", "cg", "gmres"] = option("auto", "inner solve; auto is dense when small")
    tol: NonNegative | None = option(None, "relative residual of the inner solve; by default 1e-10, in float32 3e-5")
    max_iter: Count = option(200, "iterations of the inner solve at most")
    solve_for: Player | None = option(None, "of two players in a zero-sum game; by default who has fewer parameters")
    warm_start: bool = option(
        False, "start the inner solve at the last step: two products more, to be saved again where steps hardly change"
    )

    def init(self, game: Game, params: Params) -> Memory:
        return {"d": zeros_like(params)} if self.warm_start else {}

    unconstrained = "its step is the Nash equilibrium of a local game in which everyone may go anywhere"

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        eta = local.scale(self.lr, tmap(lambda x: x.new_ones(x.shape), params))
        play = competitive(local, self.method, self.tol, self.max_iter, self.solve_for)
        d, inner = play(eta, memory.get("d"))
        return add(params, d), {"d": d} if self.warm_start else {}, StepInfo.at(local, **inner)
