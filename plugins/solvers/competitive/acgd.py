"""Adaptive competitive gradient descent.

    s <- beta2 s + (1 - beta2) v^2,     eta = lr / (sqrt(s / (1 - beta2^t)) + eps)      element by element
    theta <- theta + d,                 d = -(I + eta J_off)^{-1} eta v

Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Alg. 1 and A.5: competitive gradient descent whose step
sizes are those of RMSProp. The algorithm as printed overwrites s with its bias-corrected value, which compounds
from step to step; here the raw moment is kept. General-sum games and n players as in :mod:`.cgd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, Player, add, leaves, tmap, zeros_like
from ....core.options import Count, Decay, NonNegative, Positive, StepSize, option
from ....core.solver.safe_sqrt import root
from ....core.solver.solver import Draw, Memory, Solver, StepInfo
from .system import competitive


@dataclass(frozen=True)
class Acgd(Solver):
    """theta + d, with d the Nash step of the local game under RMSProp's step sizes."""

    lr: StepSize = option(1e-4, "alpha: a number, one per player, or one per member")
    beta2: Decay = option(0.99, "decay of the second moment")
    eps: Positive = option(1e-5, "added to its root")
    method: Literal["auto", "dense", "cg", "gmres"] = option("auto", "inner solve; auto is dense when small")
    tol: NonNegative | None = option(None, "relative residual of the inner solve; by default 1e-10, in float32 3e-5")
    max_iter: Count = option(200, "iterations of the inner solve at most")
    solve_for: Player | None = option(None, "of two players in a zero-sum game; by default who has fewer parameters")
    warm_start: bool = option(
        False, "start the inner solve at the last step: two products more, to be saved again where steps hardly change"
    )

    unconstrained = "its step is the Nash equilibrium of a local game in which everyone may go anywhere"

    def init(self, game: Game, params: Params) -> Memory:
        count = torch.zeros((), dtype=torch.int64, device=leaves(params)[0].device)
        warm = {"d": zeros_like(params)} if self.warm_start else {}
        return {"s": zeros_like(params), "t": count, **warm}

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        play = competitive(local, self.method, self.tol, self.max_iter, self.solve_for)
        t = memory["t"] + 1
        s = tmap(lambda s, g: torch.addcmul(self.beta2 * s, g, g, value=1 - self.beta2), memory["s"], local.gradient())
        unbias = 1 - torch.pow(self.beta2, t.to(torch.float64))
        eta = local.scale(self.lr, tmap(lambda s: 1 / (root(s / unbias.to(s.dtype)) + self.eps), s))
        d, inner = play(eta, memory.get("d"))
        warm = {"d": d} if self.warm_start else {}
        return add(params, d), {"s": s, "t": t, **warm}, StepInfo.at(local, **inner)
