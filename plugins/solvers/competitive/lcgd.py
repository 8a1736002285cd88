"""Linearised competitive gradient descent: the inverse in the step of cgd, to first order.

    theta <- theta - eta (v - J_off eta v)

The steps expected of the opponents stay in their strategy sets. Schäfer and Anandkumar (2019, arXiv 1905.12103),
section 3 (LCGD), where it is a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, sub
from ....core.solver.solver import Composed
from ..shaping.lookahead import expected_steps


@dataclass(frozen=True)
class Lcgd(Composed):
    """theta - lr * rule(v - J_off lr v)."""

    def direction(self, local: LocalGame) -> Params:
        v = local.gradient()
        return sub(v, local.jacobian().off_diagonal().mv(expected_steps(local, self.lr, v)))
