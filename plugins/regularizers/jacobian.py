"""Jacobian regularisation as loss terms: every player i descends  gamma/2 ||v_j||^2  of each other player j as well.

The v of the regularised game is the direction of the solver jare. Nie and Patel (2020, arXiv 1806.09235), eq. 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer
from ...core.game.tree import Batch, Params, Player
from ...core.options import option
from .consensus import half_squares


@dataclass(frozen=True)
class Jacobian(Regularizer):
    """gamma/2 ||v_j||^2 of the other players j, added to each player's loss."""

    mixes_players = True
    unconstrained = "the size of v is not least at a solution on the boundary, where v does not vanish"
    gamma: float = option(10.0, "weight")

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        half = half_squares(game, params, batch)
        others = {i: [x for j, x in half.items() if j != i] for i in half}
        return {i: self.gamma * torch.stack(charges).sum() for i, charges in others.items() if charges}
