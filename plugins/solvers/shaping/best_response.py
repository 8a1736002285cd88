"""Best responses, in games of two players of one number each: every step, each player moves by at most ``radius``.

full    it knows its loss everywhere, with the other player staying, and moves towards its minimum, however far
local   it knows its loss within ``radius``, with the other player staying, and moves to the minimum there
aware   it knows its loss for all moves of both players within ``radius``, and makes the move whose worst case is best:
        the minimum over its own moves of the maximum over the other's

Schäfer, Zheng and Anandkumar (2019, workshop version of arXiv 1910.05852), section 2 and Fig. 1: with
full information play diverges at once, with local information it oscillates and then diverges, and with awareness of
the opponent it stays. The minima and maxima are taken over a grid of points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.func import vmap

from ....core.derivatives.local import LocalGame
from ....core.errors import UsageError
from ....core.game.game import Game
from ....core.game.tree import Params, leaves
from ....core.options import Positive, StepSize, option
from ....core.solver.solver import Draw, Memory, Solver, StepInfo

FAR = 10.0  # with full information, the grid reaches this many radii


@dataclass(frozen=True)
class BestResponse(Solver):
    """Each player makes its best move of at most ``radius``, given what it knows."""

    information: Literal["full", "local", "aware"] = option("aware", "what the players know")
    radius: Positive = option(1.0, "how far a player moves in a round, at most")
    points: int = option(201, "points compared on each axis: an odd number, so that staying is one")
    lr: StepSize = option(1.0, "share of the move that is made")

    def __post_init__(self) -> None:
        if self.points < 3 or self.points % 2 == 0:
            raise UsageError(f"points must be an odd number of at least 3, got {self.points}.")

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        local = LocalGame.of(game, params, draw())
        each = [x[0].numel() if local.ensemble else x.numel() for x in leaves(params)]
        if len(local.players) != 2 or each != [1, 1]:
            raise UsageError(
                "best-response needs a game of two players of one number each, like exponential or quadratic."
            )
        share = local.setting(self.lr)
        out: Params = {}
        for i in local.players:
            (name, x), move = next(iter(params[i].items())), self._move(local, i)
            out[i] = {name: x + (share[i] * move).reshape(x.shape)}
        return local.project(out), memory, StepInfo.at(local)

    def _move(self, local: LocalGame, i: str) -> Tensor:
        """Player i's move: a scalar, or for an ensemble (M,)."""
        one = leaves(local.params)[0]
        reach = torch.linspace(-1, 1, self.points, dtype=one.dtype, device=one.device) * self.radius  # (P,)
        if self.information == "full":
            table = self._table(local, i, FAR * reach, torch.zeros_like(reach[:1]))
        else:
            table = self._table(local, i, reach, reach if self.information == "aware" else torch.zeros_like(reach[:1]))
        worst = table.amax(1)  # (P, [M]): the maximum over the other's moves
        # Of moves that are equally good, as at an equilibrium, the shortest is made.
        order = reach.abs().argsort(stable=True)
        best = order.take(worst.index_select(0, order).argmin(0))  # ([M])
        move = reach.take(best) * (FAR if self.information == "full" else 1.0)
        return move.clamp(-self.radius, self.radius)

    def _table(self, local: LocalGame, i: str, own: Tensor, others: Tensor) -> Tensor:
        """Player i's loss when it moves by ``own`` (P,) and the other by ``others`` (Q,): (P, Q, [M])."""

        def loss(a: Tensor, b: Tensor) -> Tensor:
            moved = {j: {k: x + (a if j == i else b) for k, x in tree.items()} for j, tree in local.params.items()}
            return local.game.losses(local.project(moved), local.batch)[i]

        return vmap(vmap(loss, in_dims=(None, 0)), in_dims=(0, None))(own, others)
