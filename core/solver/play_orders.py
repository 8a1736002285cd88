"""Play orders other than simultaneous: which players move when, and at which point their gradients are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ..derivatives.local import LocalGame
from ..errors import UsageError
from ..game.game import Game
from ..game.tree import Params, Player
from .solver import Composed, Draw, Memory, StepInfo


@dataclass(frozen=True)
class Alternating:
    """Players move in turn, each from a gradient that sees the moves before it, on a new batch.

    Mescheder et al. (2017, arXiv 1705.10461), supplement, Alg. 3. ``repeats``: moves in each turn, one number or one
    for each player (five of the discriminator in Gulrajani et al. 2017, arXiv 1704.00028). The loss and the gradient
    reported of a player are those at its first move.
    """

    repeats: int | dict[Player, int] = 1

    def __call__(
        self, solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
    ) -> tuple[Params, Memory, StepInfo]:
        rule, own = memory["rule"], memory["direction"]
        losses: dict[Player, Tensor] = {}
        gradient: Params = {}
        for i in game.players:
            for _ in range(self._repeats(i, game)):
                local = LocalGame.of(game, params, draw()).only((i,))
                d, own = solver.directed(local, own)
                params, rule = solver.move(local, params, d, rule)
                losses.setdefault(i, local.losses()[i])
                gradient.setdefault(i, local.gradient()[i])
        return params, {"direction": own, "rule": rule}, StepInfo(losses, gradient)

    def _repeats(self, player: Player, game: Game) -> int:
        if not isinstance(self.repeats, Mapping):
            return self.repeats
        for i in self.repeats:
            if i not in game.players:
                raise UsageError(f"repeats names {i!r}, who does not play; the players are {', '.join(game.players)}.")
        return self.repeats.get(player, 1)


def extragradient(
    solver: Composed, game: Game, params: Params, memory: Memory, draw: Draw
) -> tuple[Params, Memory, StepInfo]:
    """Take a step, then step from the old point along the direction found at the new one, on the same batch.

    Both points are projected, and the rule's memory advances in both half-steps. Gidel et al. (2019, arXiv
    1802.10551), Alg. 2 and 4.
    """
    local = LocalGame.of(game, params, draw())
    d, own = solver.directed(local, memory["direction"])
    ahead, rule = solver.move(local, params, d, memory["rule"])
    d, own = solver.directed(local.at(ahead), own)
    params, rule = solver.move(local, params, d, rule)
    return params, {"direction": own, "rule": rule}, StepInfo.at(local)
