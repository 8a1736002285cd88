"""Games whose losses foresee the opponents' next steps, for the solvers that shape these.

A wrapped game has the same players and parameters. The step sizes expected of the opponents are in its batch, as
``opponent_lr``.
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
    """``game`` with other losses, which a subclass gives."""

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
        """``params`` after a step -alpha v of the players in ``v``, projected."""
        moved = {**params, **{j: {k: x - alpha[j] * v[j][k] for k, x in params[j].items()} for j in v}}
        there = self.project(moved) if self.projects else moved
        return {**params, **{j: there[j] for j in v}}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return self.game.losses(params, batch)


@dataclass(frozen=True)
class FirstOrderLola(Wrapped):
    """l_i + sum_{j != i} <grad_j l_i, -alpha_j v_j>: l_i after the opponents' step, to first order."""

    @property
    def work(self) -> tuple[int, int]:  # type: ignore[override]
        """v, the gradient of each of the n losses, and the gradient of all that; n + 1 of them are differentiated."""
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
    """l_i(theta_i, theta_j - alpha_j v_j(theta) for all j != i), with the steps differentiated."""

    work = (2, 1)  # v, and the gradient of the losses after the step; v is differentiated

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        v, _ = field_of(self.game, self.players, params, batch)
        ahead = self.ahead(params, v, batch[ALPHA])
        return {i: self.game.losses({**ahead, i: params[i]}, batch)[i] for i in self.players}


@dataclass(frozen=True)
class Unrolled(Wrapped):
    """l_i after k gradient steps of the opponents, for the players ``foreseeing``; l_i for the others."""

    k: int
    foreseeing: tuple[Player, ...]

    @property
    def work(self) -> tuple[int, int]:  # type: ignore[override]
        """Each of the k steps that a player foresees costs a gradient, and is differentiated."""
        ahead = self.k * len(self.foreseeing)
        return 1 + ahead, ahead

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        losses = self.game.losses(params, batch)
        for i in self.foreseeing:
            others = tuple(j for j in self.players if j != i)
            at = params
            for _ in range(self.k):
                v, _ = field_of(self.game, others, at, batch)
                at = self.ahead(at, v, batch[ALPHA])
            losses = {**losses, i: self.game.losses(at, batch)[i]}
        return losses
