"""Lookahead-minmax: after every k steps of another solver, go back to a share alpha of the way they went.

    theta_fast <- k steps of the other solver from theta_slow
    theta_slow <- theta_slow + alpha (theta_fast - theta_slow)

for all players together, both points projected onto the strategy sets. Chavdarova et al. (2021, arXiv 2006.14567),
Alg. 1, with k = 5, alpha = 0.5. The parameters of a run are theta_fast; the memory holds theta_fast - theta_slow, which
is 0 at first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ....core.game.game import Game
from ....core.game.tree import Params, add, leaves, scale, sub, zeros_like
from ....core.options import Count, Share, StepSize, option
from ....core.solver.solver import Draw, Memory, Solver, StepInfo
from ..descent.simgd import Simgd


@dataclass(frozen=True)
class LookaheadMinmax(Solver):
    """Slow weights around any solver. The update map is that of a whole period, k steps."""

    solver: Solver = option(Simgd(), "the inner solver, by name or as a table {name, options}")
    lr: StepSize | None = option(None, "the inner solver's step size; by default as it is")
    k: Count = option(5, "inner steps between returns")
    alpha: Share = option(0.5, "share of the way that is kept")

    @property
    def period(self) -> int:  # type: ignore[override]
        return self.k * self.solver.period

    @property
    def step_size_policy(self) -> str:
        return self.solver.step_size_policy

    @property
    def unconstrained(self) -> str:  # type: ignore[override]
        return self.solver.unconstrained

    @property
    def fast(self) -> Solver:
        """The inner solver, with ``lr`` if that is given."""
        return self.solver if self.lr is None else replace(self.solver, lr=self.lr)  # type: ignore[type-var]

    def init(self, game: Game, params: Params) -> Memory:
        count = torch.zeros((), dtype=torch.int64, device=leaves(params)[0].device)
        return {"inner": self.fast.init(game, params), "way": zeros_like(params), "count": count}

    def step(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        theta, after, info = self.fast.step(game, params, memory["inner"], draw)
        theta = game.project(theta)
        way = add(memory["way"], sub(theta, params))  # theta_fast - theta_slow
        count = (memory["count"] + 1) % self.k
        returns = (count == 0).to(leaves(way)[0].dtype)  # 1 or 0
        theta = sub(theta, scale(way, (1 - self.alpha) * returns))
        return game.project(theta), {"inner": after, "way": scale(way, 1 - returns), "count": count}, info
