"""A weak attractor in a strong rotation:  l_x = x^2/2 + 10 xy,  l_y = y^2/2 - 10 xy.

J = [[1, 10], [-10, 1]], so 1 +- 10i: gradient play converges only below lr 2/101. Balduzzi et al. (2018, arXiv
1802.05642), experiments on learning rates and alignment; Letcher et al. (2019, arXiv 1905.04926): with lr .01, .032,
.1 it converges slowly, diverges slowly, diverges rapidly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import option


@dataclass(frozen=True)
class WeakAttractor(Game):
    """Two players of one number each; their losses have opposite mixed parts. Both start at standard normal values."""

    players = ("x", "y")
    zero_sum = True  # the interaction is: each one's own square is seen by itself alone
    attraction: float = option(1.0, "curvature of each player's own square")
    rotation: float = option(10.0, "strength of the interaction")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]  # (1,)
        turn = (self.rotation * x * y).sum()
        return {"x": self.attraction / 2 * (x * x).sum() + turn, "y": self.attraction / 2 * (y * y).sum() - turn}
