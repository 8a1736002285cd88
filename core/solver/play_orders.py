"""Play orders other than simultaneous: who sees whom within a step."""

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
    """Players in turn, each seeing the moved ones and a fresh batch (Mescheder et al. 2017, Alg. 3).

    ``repeats`` moves a turn, one number or one per player (five discriminator moves in Gulrajani et al. 2017).
    The losses and gradients reported are each player's own at its first move.
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
    """Look ahead with one step, then step from where one stood along the direction found there, on one batch.

    Both points are projected, and a rule's memory advances on both half-steps (Gidel et al. 2019, arXiv 1802.10551,
    Alg. 2 and 4).
    """
    local = LocalGame.of(game, params, draw())
    d, own = solver.directed(local, memory["direction"])
    ahead, rule = solver.move(local, params, d, memory["rule"])
    d, own = solver.directed(local.at(ahead), own)
    params, rule = solver.move(local, params, d, rule)
    return params, {"direction": own, "rule": rule}, StepInfo.at(local)
