"""The bilinear game  min_x max_y  alpha x . y  in any dimension.

The eigenvalues of J are +-i alpha, so the flow of v circles around the equilibrium at 0 and simultaneous gradient
descent diverges at every step size. Schäfer and Anandkumar (2019, arXiv 1905.12103), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import Count, option


@dataclass(frozen=True)
class Bilinear(Game):
    """Two players with a vector of ``dimension`` numbers each, zero-sum. Initial values are standard normal."""

    players = ("x", "y")
    zero_sum = True
    alpha: float = option(1.0, "strength of the interaction")
    dimension: Count = option(1, "numbers each player has")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(self.dimension, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        f = self.alpha * (params["x"]["value"] * params["y"]["value"]).sum()
        return {"x": f, "y": -f}
