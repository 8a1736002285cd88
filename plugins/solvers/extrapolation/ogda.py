"""Optimistic gradient descent.

    theta_{k+1} <- theta_k - eta (2 s_k - s_{k-1}),     s_k = rule(v_k),     s_{-1} = 0

Daskalakis et al. (2018, arXiv 1711.00141), section 2. With the rule adam it is their optimistic Adam (Alg. 1), whose
moments are those of v. With the rule sgd, its points are the look-ahead points of past-extragradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, scale, sub, zeros_like
from ....core.solver.solver import Composed, Memory


@dataclass(frozen=True)
class Ogda(Composed):
    """theta - lr * (s + (s - last s)), s = rule(v)."""

    def init(self, game: Game, params: Params) -> Memory:
        rules, last = super().init(game, params)["rule"], zeros_like(params)
        return {"direction": {}, "rule": {i: {"own": rules[i], "last": last[i]} for i in params}}

    def move(self, local: LocalGame, params: Params, d: Params, memory: Memory) -> tuple[Params, Memory]:
        found = {i: self.rule.step(d[i], memory[i]["own"], params[i]) for i in d}
        steps = {i: s for i, (s, _) in found.items()}
        last = {i: memory[i]["last"] for i in d}
        moved = sub({i: params[i] for i in d}, local.scale(self.lr, sub(scale(steps, 2.0), last)))
        after = {i: {"own": own, "last": s} for i, (s, own) in found.items()}
        return local.project({**params, **moved}), {**memory, **after}
