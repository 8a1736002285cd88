"""Weight clipping: after every move, each number of one player is brought into [-bound, bound].

Arjovsky, Chintala and Bottou (2017, arXiv 1701.07875), Alg. 1: the critic, bound 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer, need_player
from ...core.game.tree import Params, clamp
from ...core.options import Positive, option


@dataclass(frozen=True)
class WeightClipping(Regularizer):
    """The strategy set [-bound, bound]^N for ``player``."""

    bound: Positive = option(0.01, "largest size of a number")
    player: str = option("discriminator", "whose parameters")

    def check(self, game: Game) -> None:
        need_player("weight-clipping", game, self.player)

    def project(self, game: Game, params: Params) -> Params:
        own = {k: clamp(x, self.bound) for k, x in params[self.player].items()}
        return {**params, self.player: own}
