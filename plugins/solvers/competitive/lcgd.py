"""Linearised competitive gradient descent: cgd's inverse truncated after the first order.

    theta <- theta - eta (v - J_off eta v)

The opponents' steps that are foreseen end where a strategy set does. Schäfer and Anandkumar (2019, arXiv
1905.12103), section 3 (LCGD); there a stepping stone and a baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, sub
from ....core.solver.solver import Composed
from ..shaping.lookahead import expected


@dataclass(frozen=True)
class Lcgd(Composed):
    """theta - lr * rule(v - J_off lr v)."""

    def direction(self, local: LocalGame) -> Params:
        v = local.gradient()
        return sub(v, local.jacobian().off_diagonal().mv(expected(local, self.lr, v)))
