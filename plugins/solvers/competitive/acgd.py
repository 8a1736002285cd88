"""Adaptive competitive gradient descent.

    s <- beta2 s + (1 - beta2) v^2,     eta = lr / (sqrt(s / (1 - beta2^t)) + eps)      element by element
    theta <- theta + d,                 d = -(I + eta J_off)^{-1} eta v

Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), Alg. 1 and A.5: competitive gradient descent whose step
sizes are those of RMSProp. The printed algorithm overwrites s with its bias-corrected value, so that the correction
would accumulate from step to step; here s stays uncorrected. General-sum games and n players as in :mod:`.cgd`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, leaves, pointwise, zeros_like
from ....core.options import Decay, Positive, StepSize, option
from ....core.solver.safe_sqrt import safe_sqrt
from ....core.solver.solver import Memory
from .system import Competitive


@dataclass(frozen=True)
class Acgd(Competitive):
    """theta + d, with d the Nash step of the local game under RMSProp's step sizes."""

    lr: StepSize = option(1e-4, "alpha: a number, one per player, or one per member")
    beta2: Decay = option(0.99, "decay of the second moment")
    eps: Positive = option(1e-5, "added to its root")

    step_size_policy = "adaptive"

    def init(self, game: Game, params: Params) -> Memory:
        count = torch.zeros((), dtype=torch.int64, device=leaves(params)[0].device)
        return {"s": zeros_like(params), "t": count, **super().init(game, params)}

    def step_sizes(self, local: LocalGame, memory: Memory) -> tuple[Params, Memory]:
        t = memory["t"] + 1
        v = local.gradient()
        s = pointwise(lambda s, g: torch.addcmul(self.beta2 * s, g, g, value=1 - self.beta2), memory["s"], v)
        unbias = 1 - torch.pow(self.beta2, t.to(torch.float64))
        eta = local.scale(self.lr, pointwise(lambda s: 1 / (safe_sqrt(s / unbias.to(s.dtype)) + self.eps), s))
        return eta, {"s": s, "t": t}
