"""A weak attractor in a strong rotation:  l_x = x^2/2 + 10 xy,  l_y = y^2/2 - 10 xy.

J = [[1, 10], [-10, 1]] has the eigenvalues 1 +- 10i, so simultaneous gradient descent converges only if lr < 2/101.
Balduzzi et al. (2018, arXiv 1802.05642), experiments on learning rates and alignment; Letcher et al. (2019, arXiv
1905.04926), where it converges slowly with lr .01, diverges slowly with .032 and rapidly with .1.
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
    """Two players with one number each and opposite mixed derivatives. Initial values are standard normal."""

    players = ("x", "y")
    zero_sum = True  # the interaction is; the squares do not change the mixed derivatives
    attraction: float = option(1.0, "curvature of each player's own square")
    rotation: float = option(10.0, "strength of the interaction")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"], params["y"]["value"]  # (1,)
        mixed = (self.rotation * x * y).sum()
        return {"x": self.attraction / 2 * (x * x).sum() + mixed, "y": self.attraction / 2 * (y * y).sum() - mixed}
