"""Hamiltonian descent: gradient descent on 1/2 ||v||^2, a baseline.

    theta <- theta - eta J^T v

It may end in an unstable stationary point of v, or in a minimum of 1/2 ||v||^2 where v is not 0. Mescheder, Nowozin and
Geiger (2017, arXiv 1705.10461), section 4.1, who found that it does not work well.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params
from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Hamiltonian(Composed):
    """theta - lr * rule(J^T v)."""

    unconstrained = "it descends along J^T v, which does not vanish at a solution on the boundary, where v does not"

    def direction(self, local: LocalGame) -> Params:
        return local.jacobian().rmv(local.gradient())
