"""Weight penalty: adds  weight * ||theta_player||^2  to one player's loss (no 1/2, as in the published runs).

Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), A.4: the discriminator, weight 1e-2, 1e-3 or 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer, need_player
from ...core.game.tree import Batch, Params, Player
from ...core.options import option


@dataclass(frozen=True)
class L2(Regularizer):
    """weight * ||theta_player||^2."""

    weight: float = option(1e-3, "lambda")
    player: str = option("discriminator", "whose parameters")

    def check(self, game: Game) -> None:
        need_player("l2", game, self.player)

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        squares = torch.stack([x.square().sum() for x in params[self.player].values()])
        return {self.player: self.weight * squares.sum()}
