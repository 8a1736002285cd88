"""Simultaneous gradient descent.

    theta <- theta - eta v

Each player descends its own loss, seeing where the others stood. Mescheder, Nowozin and Geiger (2017,
arXiv 1705.10461), Alg. 1, in the sign where everyone minimises.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Simgd(Composed):
    """theta - lr * rule(v)."""
