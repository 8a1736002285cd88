"""Matching pennies: x wins a penny if both show the same side, y otherwise.

Played once, each player has one logit of showing heads. With p = sigmoid(x) and q = sigmoid(y) the loss of x is -(2p -
1)(2q - 1). J at the only equilibrium, (0, 0), is [[0, -1/4], [1/4, 0]], and the flow of v circles around it. With
``iterated``, each player has five logits, of heads in the first round and after each joint action, and gamma = .9; at
the equilibrium where all logits are 0, all eigenvalues of J are imaginary. Foerster et al. (2018, arXiv 1709.04326),
iterated games. Initial logits are normal, by default standard normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import Decay, NonNegative, option
from .memory_one import discounted, joint

PENNIES = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0], [1.0, -1.0]])  # what (x, y) win at HH, HT, TH, TT


@dataclass(frozen=True)
class MatchingPennies(Game):
    """Two players with one logit each, or five if ``iterated``; zero-sum."""

    players = ("x", "y")
    zero_sum = True
    iterated: bool = option(False, "repeat the game, remembering one round")
    gamma: Decay = option(0.9, "discount of the next round, below 1, if iterated")
    std: NonNegative = option(1.0, "of every initial logit")

    def init(self, rng: torch.Generator) -> Params:
        n = 5 if self.iterated else 1
        return {i: {"logits": self.std * torch.randn(n, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = (params[i]["logits"].sigmoid() for i in self.players)
        won = discounted(x, y, PENNIES, self.gamma)[0] if self.iterated else joint(x, y)[0] @ PENNIES.to(x)[:, 0]
        return {"x": -won, "y": won}
