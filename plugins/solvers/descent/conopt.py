"""Consensus optimisation.

    theta <- theta - eta (v + gamma J^T v),      J^T v = grad 1/2 ||v||^2

Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Alg. 2 and eq. 12-13.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, Setting, add
from ....core.options import option
from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Conopt(Composed):
    """theta - lr * rule(v + gamma J^T v)."""

    gamma: Setting = option(10.0, "weight of the consensus term; 10 for the mixture, 0.1 for some image GANs")

    unconstrained = "it adds J^T v, which does not vanish at a solution on the boundary, where v does not"

    def direction(self, local: LocalGame) -> Params:
        J = local.jacobian()
        v = local.gradient(J.rmv)
        return add(v, local.scale(self.gamma, J.rmv(v)))
