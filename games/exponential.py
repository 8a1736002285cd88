"""The exponential game  min_x max_y  -exp(x^2) - alpha x y + exp(y^2).

Each player can lower its loss without bound by moving away, and the origin, where both gradients are 0, is the worst
point for each of them given the other. Whether they stay near it depends on what they know of each other. Schäfer,
Zheng and Anandkumar (2019, workshop version of arXiv 1910.05852), eq. 6 and Fig. 1: start (0, 2), moves of at most 1,
and alpha >> 1, without a value. We take 1e16, the smallest power of ten with which *both* players oscillate before they
diverge under local information: y turns back at (1, 3) only if 2 alpha > e^16 - e^4, which is alpha > 4.5e6, and x at
(5, -1) only if 2 alpha > e^36 - e^16, which is alpha > 2.2e15. Next to such an alpha, float64 loses the curvature of -2
at the origin: choose a smaller one for spectra.
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
    """Two players with one number each, zero-sum. Every run starts at ``start``."""

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
