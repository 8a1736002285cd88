"""Simultaneous gradient descent.

    theta <- theta - eta v

All players descend their own losses at once, from the same point. Mescheder, Nowozin and Geiger (2017, arXiv
1705.10461), Alg. 1, with the sign changed, since there everyone maximises.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Simgd(Composed):
    """theta - lr * rule(v)."""
