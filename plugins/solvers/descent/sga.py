"""Symplectic gradient adjustment.

    theta <- theta - eta (v + lambda A^T v),     A = (J - J^T)/2

With ``align``, lambda is multiplied by the sign of  <v, J^T v> <A^T v, J^T v> / N + 1/10,  with N the number of all
players' parameters: this leads towards stable fixed points and away from unstable ones. Balduzzi et al. (2018, arXiv
1802.05642), Alg. 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, Setting, add, leaves, scale, sub
from ....core.options import option
from ....core.solver.solver import Composed

ALIGNMENT = 0.1  # epsilon of Alg. 1


@dataclass(frozen=True)
class Sga(Composed):
    """theta - lr * rule(v + strength A^T v)."""

    strength: Setting = option(1.0, "lambda")
    align: bool = option(True, "choose lambda's sign by alignment")

    unconstrained = "it adds A^T v, which does not vanish at a solution on the boundary, where v does not"

    def direction(self, local: LocalGame) -> Params:
        v, J = local.gradient(), local.jacobian()
        JTv = J.rmv(v)
        ATv = scale(sub(JTv, J.mv(v)), 0.5)
        if self.align:
            # The sign is constant almost everywhere, so its derivative is 0.
            product = local.dot(v, JTv) * local.dot(ATv, JTv)  # scalar, or (M,)
            N = sum(x.numel() for x in leaves(v)) // product.numel()
            sign = (product / N + ALIGNMENT).sign().detach()
            ATv = scale(ATv, sign)
        return add(v, local.scale(self.strength, ATv))
