"""Consensus optimisation as a regulariser: adds  gamma/2 ||v||^2  to every player's loss.

The v of the regularised game is v + gamma J^T v, the direction of the solver conopt. Mescheder, Nowozin and Geiger
(2017, arXiv 1705.10461), eq. 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.derivatives.field import field_of
from ...core.game.game import Game
from ...core.game.regularizer import Regularizer
from ...core.game.tree import Batch, Params, Player
from ...core.options import option


def half_squares(game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
    """||v_i||^2 / 2 of each player, scalars."""
    v, _ = field_of(game, tuple(game.players), params, batch)
    return {i: torch.stack([x.square().sum() for x in tree.values()]).sum() / 2 for i, tree in v.items()}


@dataclass(frozen=True)
class Consensus(Regularizer):
    """gamma/2 ||v||^2, added to every player's loss."""

    mixes_players = True
    unconstrained = "the size of v is not least at a solution on the boundary, where v does not vanish"
    gamma: float = option(10.0, "weight of the consensus term")

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        total = torch.stack([*half_squares(game, params, batch).values()]).sum()
        return dict.fromkeys(game.players, self.gamma * total)
