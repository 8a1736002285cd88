"""The iterated prisoner's dilemma, played by strategies that remember one round.

Each player has five logits: of cooperating in the first round, and after CC, CD, DC, DD (own action first; C is to
cooperate, D to defect). The loss is minus the discounted sum of payoffs. By default a round pays -1 to each for CC, -3
and 0 for CD, and -2 to each for DD, and gamma = .96: if both always defect, each loses 50; if both play tit-for-tat,
25. Gradient descent ends in defection, opponent shaping need not. Foerster et al. (2018, arXiv 1709.04326), iterated
games, who report (1 - gamma) times the sum, which is in the metrics here; Letcher et al. (2019, arXiv 1811.08469). The
distribution of the initial logits, N(0, std^2), is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.game.game import Game
from ..core.game.tree import Batch, Params, Player
from ..core.options import Decay, NonNegative, option
from .memory_one import discounted


@dataclass(frozen=True)
class IteratedPrisonersDilemma(Game):
    """Two players with five logits each, general-sum."""

    players = ("x", "y")
    gamma: Decay = option(0.96, "discount of the next round, below 1")
    payoffs: tuple[float, float, float, float] = option(
        (-1.0, -3.0, 0.0, -2.0), "one's own for CC, CD, DC, DD, own action first"
    )
    std: NonNegative = option(1.0, "of every initial logit")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"logits": self.std * torch.randn(5, generator=rng, dtype=torch.float64)} for i in self.players}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        x, y = -self._values(params)
        return {"x": x, "y": y}

    def metrics(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        """Each player's mean payoff, (1 - gamma) times the discounted sum, and probability of cooperating at first."""
        x, y = (1 - self.gamma) * self._values(params)
        first = {f"cooperation_{i}": params[i]["logits"][0].sigmoid() for i in self.players}
        return {"payoff_x": x, "payoff_y": y, **first}

    def _values(self, params: Params) -> Tensor:
        """Each player's discounted sum of payoffs, (2,)."""
        both, sucker, temptation, neither = self.payoffs
        rounds = [[both, both], [sucker, temptation], [temptation, sucker], [neither, neither]]
        table = torch.tensor(rounds, dtype=torch.float64)
        x, y = (params[i]["logits"].sigmoid() for i in self.players)
        return discounted(x, y, table, self.gamma)
