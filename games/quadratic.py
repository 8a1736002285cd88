"""The quadratic game  min_x max_y  a x^2 + b xy + c y^2.

With a = c = 1 and b = 10 the origin is the worst point for y while x stays, and yet simultaneous gradient descent
converges to it with some step sizes: (0.09, 0.01) converges, (0.03, 0.03) diverges slowly, (0.01, 0.09) quickly.
Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), eq. 3 and Fig. 3, 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import option


@dataclass(frozen=True)
class Quadratic(Game):
    """Two players with one number each, zero-sum. Initial values are standard normal."""

    players = ("x", "y")
    zero_sum = True
    a: float = option(1.0, "curvature of x")
    b: float = option(10.0, "interaction")
    c: float = option(1.0, "curvature of y")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]  # (1,)
        f = (self.a * x * x + self.b * x * y + self.c * y * y).sum()
        return {"x": f, "y": -f}
