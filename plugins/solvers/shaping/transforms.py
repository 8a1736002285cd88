"""Games whose losses foresee the opponents' learning, for the solvers that shape it.

A wrapped game has the same players and parameters; the opponents' step sizes are in the batch under ``opponent_lr``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from ....core.derivatives.field import field_of
from ....core.game.game import Game
from ....core.game.tree import Batch, Params, Player, sub

ALPHA = "opponent_lr"


@dataclass(frozen=True)
class Wrapped(Game):
    """The players and the start of ``game``; a subclass gives the losses."""

    game: Game

    def __post_init__(self) -> None:
        object.__setattr__(self, "players", tuple(self.game.players))

    def init(self, rng: torch.Generator) -> Params:
        return self.game.init(rng)

    @property
    def projects(self) -> bool:
        return self.game.projects

    def project(self, params: Params) -> Params:
        return self.game.project(params)

    def ahead(self, params: Params, v: Params, alpha: dict[Player, Tensor]) -> Params:
        """``params`` after a step of the players in ``v``, in their strategy sets."""
        moved = {**params, **{j: {k: x - alpha[j] * v[j][k] for k, x in params[j].items()} for j in v}}
        there = self.project(moved) if self.projects else moved
        return {**params, **{j: there[j] for j in v}}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return self.game.losses(params, batch)


@dataclass(frozen=True)
class FirstOrderLola(Wrapped):
    """l_i + sum_{j != i} <grad_j l_i, -alpha_j v_j>: the opponents' step within l_i, to first order."""

    @property
    def work(self) -> tuple[int, int]:  # type: ignore[override]
        """Gradients of a loss set, and products: v's and each loss's, and their derivatives."""
        n = len(self.players)
        return n + 2, n + 1

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        losses = self.game.losses(params, batch)
        v, _ = field_of(self.game, self.players, params, batch)
        step = sub(self.ahead(params, v, batch[ALPHA]), params)
        out = {}
        for i in self.players:
            g = grad(lambda p, i=i: self.game.losses(p, batch)[i])(params)
            steps = [(g[j][k] * step[j][k]).sum() for j in self.players if j != i for k in v[j]]
            out[i] = losses[i] + torch.stack(steps).sum() if steps else losses[i]
        return out


@dataclass(frozen=True)
class ExactLola(Wrapped):
    """l_i(theta_i, theta_j - alpha_j v_j(theta) for all j != i), the opponents' steps differentiated."""

    work = (2, 1)  # v and the gradient after it, and v's derivative

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        v, _ = field_of(self.game, self.players, params, batch)
        ahead = self.ahead(params, v, batch[ALPHA])
        return {i: self.game.losses({**ahead, i: params[i]}, batch)[i] for i in self.players}


@dataclass(frozen=True)
class Unrolled(Wrapped):
    """l_i after the opponents have taken k gradient steps, for the players in ``seers``; l_i for the others."""

    k: int
    seers: tuple[Player, ...]

    @property
    def work(self) -> tuple[int, int]:  # type: ignore[override]
        """The gradients and products of a step of every player: each step ahead is taken and differentiated."""
        ahead = self.k * len(self.seers)
        return 1 + ahead, ahead

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        losses = self.game.losses(params, batch)
        for i in self.seers:
            others = tuple(j for j in self.players if j != i)
            at = params
            for _ in range(self.k):
                v, _ = field_of(self.game, others, at, batch)
                at = self.ahead(at, v, batch[ALPHA])
            losses = {**losses, i: self.game.losses(at, batch)[i]}
        return losses
