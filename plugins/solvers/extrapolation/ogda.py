"""Optimistic gradient descent.

    theta_{k+1} <- theta_k - eta (2 s_k - s_{k-1}),     s_k = rule(v_k),     s_{-1} = 0

Daskalakis et al. (2018, arXiv 1711.00141), section 2. With the rule adam it is their optimistic Adam (Alg. 1), whose
moments are those of v. With the rule sgd, its points are the look-ahead points of past-extragradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.game.game import Game
from ....core.game.tree import Params, scale, sub, zeros_like
from ....core.solver.solver import Composed, Memory


@dataclass(frozen=True)
class Ogda(Composed):
    """theta - lr * (s + (s - last s)), s = rule(v)."""

    def init(self, game: Game, params: Params) -> Memory:
        memory, last = super().init(game, params), zeros_like(params)
        return {**memory, "rule": {i: {"own": own, "last": last[i]} for i, own in memory["rule"].items()}}

    def ruled(self, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        steps, own = super().ruled(params, d, {i: rule["own"] for i, rule in memory.items()})
        after = {i: {"own": own[i], "last": steps[i]} for i in d}
        return sub(scale(steps, 2.0), {i: memory[i]["last"] for i in d}), {**memory, **after}
