"""A running average of players' parameters, of which samples and metrics are taken; play is not changed.

    average = (1 - decay) sum_k decay^k theta_(t-k) / (1 - decay^(t+1))

over the points at which the steps 0 to t began. Yazıcı et al. (2019, arXiv 1806.04498), section 3: the generator, decay
0.999 or 0.9999. The denominator removes the weight of the zeros with which the sum begins, as Adam does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer, need_player
from ...core.game.tree import Batch, Buffers, Params, Player, Tree
from ...core.options import Decay, option


@dataclass(frozen=True)
class Ema(Regularizer):
    """An exponential moving average of ``player``, one or several, which is shown in its place."""

    decay: Decay = option(0.999, "share of the average that is kept in each step")
    player: tuple[str, ...] = option(("generator",), "whose parameters; one name, or several as [x, y]")

    @property
    def _players(self) -> tuple[Player, ...]:
        return tuple(dict.fromkeys([self.player] if isinstance(self.player, str) else self.player))

    def check(self, game: Game) -> None:
        for i in self._players:
            need_player("ema", game, i)

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        own = {_key(i, k): torch.zeros_like(x) for i in self._players for k, x in params[i].items()}
        return {**own, **{_weight(i): torch.zeros((), dtype=torch.float64) for i in self._players}}

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        new = {_key(i, k): x for i in self._players for k, x in params[i].items()}
        new = {k: self.decay * buffers[k] + (1 - self.decay) * x for k, x in new.items()}
        weights = {_weight(i): self.decay * buffers[_weight(i)] + (1 - self.decay) for i in self._players}
        return {**buffers, **new, **weights}

    def shown(self, game: Game, params: Params, batch: Batch) -> Params:
        own = dict[Player, Tree]()
        for i in self._players:
            weight = batch[_weight(i)]  # 0 before the first step: then there is nothing to average
            own[i] = {k: torch.where(weight > 0, batch[_key(i, k)] / weight, x).to(x) for k, x in params[i].items()}
        return {**params, **own}


def _key(player: Player, name: str) -> str:
    return f"ema/{player}/{name}"


def _weight(player: Player) -> str:
    """The name of the buffer that holds 1 - decay^(t+1)."""
    return f"ema_weight/{player}"
