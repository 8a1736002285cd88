"""A running average of one player's parameters, of which samples and metrics are taken; play is not changed.

    average = (1 - decay) sum_k decay^k theta_(t-k) / (1 - decay^(t+1))

over the points at which the steps 0 to t began. Yazıcı et al. (2019, arXiv 1806.04498), section 3: the generator, decay
0.999 or 0.9999. The denominator removes the weight of the zeros with which the sum begins, as Adam does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer, need_player
from ...core.game.tree import Batch, Buffers, Params
from ...core.options import Decay, option


@dataclass(frozen=True)
class Ema(Regularizer):
    """An exponential moving average of ``player``, which is shown in its place."""

    decay: Decay = option(0.999, "share of the average that is kept in each step")
    player: str = option("generator", "whose parameters")

    def check(self, game: Game) -> None:
        need_player("ema", game, self.player)

    def _key(self, name: str) -> str:
        return f"ema/{self.player}/{name}"

    @property
    def _weight(self) -> str:
        """The name of the buffer that holds 1 - decay^(t+1)."""
        return f"ema_weight/{self.player}"

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        own = {self._key(k): torch.zeros_like(x) for k, x in params[self.player].items()}
        return {**own, self._weight: torch.zeros((), dtype=torch.float64)}

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        new = {k: self.decay * buffers[self._key(k)] + (1 - self.decay) * x for k, x in params[self.player].items()}
        weight = self.decay * buffers[self._weight] + (1 - self.decay)
        return {**buffers, **{self._key(k): x for k, x in new.items()}, self._weight: weight}

    def shown(self, game: Game, params: Params, batch: Batch) -> Params:
        weight = batch[self._weight]  # 0 before the first step: then there is nothing to average
        own = {
            k: torch.where(weight > 0, batch[self._key(k)] / weight, x).to(x) for k, x in params[self.player].items()
        }
        return {**params, self.player: own}
