"""Four players w, x, y, z: each pair rotates, and each player has a weak attraction to 0.

    l_w = eps/2 w^2 + wx + wy + wz        l_y = -wy - xy + eps/2 y^2 + yz
    l_x = -wx + eps/2 x^2 + xy + xz       l_z = -wz - xz - yz + eps/2 z^2

J = eps I + A, where A is antisymmetric with 1 above the diagonal. Its eigenvalues are eps +- i cot(pi/8) and
eps +- i cot(3 pi/8). Balduzzi et al. (2018, arXiv 1802.05642), appendix D, who compare with optimistic mirror descent
for eps = 1/100, a weak attractor, and eps = 0, none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import option


@dataclass(frozen=True)
class FourPlayer(Game):
    """Four players with one number each, zero-sum but for the attraction. Initial values are standard normal."""

    players = ("w", "x", "y", "z")
    zero_sum = True  # the mixed derivatives of any two players are opposite
    epsilon: float = option(0.01, "curvature of each player's own square; 0 for no attractor")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        theta = torch.cat([params[i]["value"] for i in self.players])  # (4,)
        upper = torch.triu(torch.ones(4, 4, dtype=theta.dtype, device=theta.device), 1)
        losses = self.epsilon / 2 * theta**2 + theta * ((upper - upper.T) @ theta)
        return dict(zip(self.players, losses, strict=True))
