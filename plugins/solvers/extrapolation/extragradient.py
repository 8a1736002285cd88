"""Extragradient.

    theta' = theta - eta v(theta),   theta <- theta - eta v(theta')

Korpelevich (1976); for GANs, with step rules (extra-Adam), Gidel et al. (2019, arXiv 1802.10551), Alg. 2 and 4.
Both evaluations see the same batch, and a rule's memory advances on both half-steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.solver import play_orders
from ....core.solver.solver import Composed, Order


@dataclass(frozen=True)
class Extragradient(Composed):
    """theta - lr * rule(v at the point that one step leads to)."""

    @property
    def order(self) -> Order:
        return play_orders.extragradient
