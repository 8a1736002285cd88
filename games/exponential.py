"""The exponential game  min_x max_y  -exp(x^2) - alpha x y + exp(y^2).

Either player gains without bound by running off, and the origin, where both gradients vanish, is the worst point for
both; what they know of each other decides whether they stay. Schäfer, Zheng and Anandkumar
(2019, workshop version of arXiv 1910.05852), eq. 6 and Fig. 1: start (0, 2), moves of at most 1, alpha >> 1 without
a value. Ours is 1e16, the first power of ten at which *both* oscillate before they run off: knowing the game within
reach, y turns back at (1, 3) only if 2 alpha > e^16 - e^4, from 4.5e6 on, and x at (5, -1) only if
2 alpha > e^36 - e^16, from 2.2e15 on. Beside it double precision loses the curvature, -2 at the origin: for spectra
choose a smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import option


@dataclass(frozen=True)
class Exponential(Game):
    """Two players of one number each, zero-sum; every run starts at ``start``."""

    players = ("x", "y")
    zero_sum = True
    alpha: float = option(1e16, "strength of the interaction")
    start: tuple[float, float] = option((0.0, 2.0), "x and y at first")

    def init(self, rng: torch.Generator) -> Params:
        return {
            i: {"value": torch.tensor([s], dtype=torch.float64)} for i, s in zip(self.players, self.start, strict=True)
        }

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]  # (1,)
        f = (-torch.exp(x * x) - self.alpha * x * y + torch.exp(y * y)).sum()
        return {"x": f, "y": -f}
