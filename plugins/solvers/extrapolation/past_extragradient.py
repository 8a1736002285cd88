"""Extragradient from the past: it looks ahead along the last v that it evaluated, so a step costs one gradient.

    theta'_k = theta_k - eta v'_{k-1},   v'_k = v(theta'_k),   theta_{k+1} = theta_k - eta v'_k,     v'_{-1} = 0

Popov (1980); for GANs Gidel et al. (2019, arXiv 1802.10551), eq. 14-15 and Alg. 4, where the moments of a rule advance
in both moves. With the rule sgd, the look-ahead points theta'_k are those of ogda.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.game import Game
from ....core.game.tree import Params, zeros_like
from ....core.solver.solver import Composed, Draw, Memory, StepInfo


@dataclass(frozen=True)
class PastExtragradient(Composed):
    """theta - lr * rule(v at the look-ahead point). The losses and the v reported are those at that point."""

    def remember(self, params: Params) -> Memory:
        return {"v": zeros_like(params)}

    def play(self, game: Game, params: Params, memory: Memory, draw: Draw) -> tuple[Params, Memory, StepInfo]:
        here = LocalGame.of(game, params, draw())
        ahead, rule = self.move(here, params, memory["direction"]["v"], memory["rule"])
        local = here.at(ahead)
        v = self.direction(local)
        params, rule = self.move(local, params, v, rule)
        return params, {"direction": {"v": v}, "rule": rule}, StepInfo.at(local)
