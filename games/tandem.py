"""The tandem game: two cyclists who must pedal together, each glad if the other does.

    l_x = (x + y)^2 - 2x,      l_y = (x + y)^2 - 2y

Every point of the line x + y = 1 is a fixed point of gradient play, with losses 1 - 2x and 1 - 2y that add up to 0;
J is [[2, 2], [2, 2]] everywhere, with eigenvalues 0 (along that line) and 4. First-order lola that expects steps
alpha < 1/4 of the other leaves it: its fixed points are x + y = (1 - 2 alpha)/(1 - 4 alpha) > 1, where both together
lose more, the "arrogance" that look-ahead and sos avoid. Letcher et al. (2019, arXiv 1811.08469), tandem game.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player


@dataclass(frozen=True)
class Tandem(Game):
    """Two players of one number each, general-sum; both start at standard normal values."""

    players = ("x", "y")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = params["x"]["value"].sum(), params["y"]["value"].sum()
        together = (x + y) ** 2
        return {"x": together - 2 * x, "y": together - 2 * y}
