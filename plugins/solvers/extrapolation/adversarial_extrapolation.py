"""Adversarial extrapolation: each player steps along its gradient at the opponents' predicted half-steps.

    theta_i <- theta_i - eta v_i(theta_i, theta_j - gamma_i/2 v_j for all j != i)

The predicted points stay in the strategy sets, and are constants: they are not differentiated. Nie and Patel (2020,
arXiv 1806.09235), eq. 13-14, who propose it but do not try it. If J_ij = -J_ji^T it is jare with gamma/2 up to
O(gamma^2), and exactly on quadratic games. (They say with gamma, which would need a derivative of the prediction.) Each
player i has its own gamma, as in jare.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, Setting, scale, sub
from ....core.options import option
from ....core.solver.solver import Composed


@dataclass(frozen=True)
class AdversarialExtrapolation(Composed):
    """theta - lr * rule(v_i at the others' half-steps)."""

    gamma: Setting = option(1.0, "length of the predicted steps, halved as in the source")

    def direction(self, local: LocalGame) -> Params:
        v, gamma = local.gradient(), local.setting(self.gamma)
        out: Params = {}
        for i in local.players:
            others = {j: tree for j, tree in v.items() if j != i}
            half = sub({j: local.params[j] for j in others}, scale(others, gamma[i] / 2))
            there = local.project({**local.params, **half})
            out |= local.at({j: there[j] for j in half}).only((i,)).gradient()
        return out
