"""The tandem game: the sum of both players' numbers must be right, and each player gains by a larger number of its own.

    l_x = (x + y)^2 - 2x,      l_y = (x + y)^2 - 2y

Every point of the line x + y = 1 is a fixed point of gradient descent; the losses there, 1 - 2x and 1 - 2y, add up to
0. J is [[2, 2], [2, 2]] everywhere, with eigenvalues 0 (along the line) and 4. First-order lola, expecting steps of
size alpha < 1/4, leaves the line: its fixed points are x + y = (1 - 2 alpha)/(1 - 4 alpha) > 1, where the losses add up
to more than 0. Letcher et al. (2019, arXiv 1811.08469), tandem game, call this arrogance; la and sos avoid it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player


@dataclass(frozen=True)
class Tandem(Game):
    """Two players with one number each, general-sum. Initial values are standard normal."""

    players = ("x", "y")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"].sum(), params["y"]["value"].sum()
        together = (x + y) ** 2
        return {"x": together - 2 * x, "y": together - 2 * y}
