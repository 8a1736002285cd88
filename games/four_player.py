"""Four players w, x, y, z, every two of them in a rotation, each with a weak attraction of its own.

    l_w = eps/2 w^2 + wx + wy + wz        l_y = -wy - xy + eps/2 y^2 + yz
    l_x = -wx + eps/2 x^2 + xy + xz       l_z = -wz - xz - yz + eps/2 z^2

J = eps I + A with A antisymmetric, 1 above the diagonal: eps +- i cot(pi/8), eps +- i cot(3 pi/8). Balduzzi et al.
(2018, arXiv 1802.05642), appendix D, where optimistic mirror descent is compared: eps = 1/100 for a weak attractor,
0 for none.
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
    """One number each, zero-sum but for the attraction; all start at standard normal values."""

    players = ("w", "x", "y", "z")
    zero_sum = True  # between any two
    epsilon: float = option(0.01, "curvature of each player's own square; 0 for no attractor")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        theta = torch.cat([params[i]["value"] for i in self.players])  # (4,)
        upper = torch.triu(torch.ones(4, 4, dtype=theta.dtype, device=theta.device), 1)
        losses = self.epsilon / 2 * theta**2 + theta * ((upper - upper.T) @ theta)
        return dict(zip(self.players, losses, strict=True))
