"""Jacobian regularisation, of both players or of one.

    theta_i <- theta_i - eta (v_i + gamma/2 grad_i sum_{j != i} ||v_j||^2)
             = theta_i - eta (v_i + gamma sum_{j != i} J_ji^T v_j)

jare                     every player i is charged for the size of the *other* players' gradients, which leaves its
                         own curvature alone. Nie and Patel (2020, arXiv 1806.09235), eq. 7
reg-generator-only       only the first player (the generator) is charged; ibid. section 5.1, after Nagarajan and
                         Kolter (2017, arXiv 1706.04156)
reg-discriminator-only   only the others are; ibid. section 5.1

The sum over j is the reading for more than two players.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, Setting, add
from ....core.options import option
from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Jare(Composed):
    """theta - lr * rule(v + gamma J_off^T v)."""

    gamma: Setting = option(10.0, "weight; 10 for toys, 100 for CIFAR-10, up to 1000 for hard mixtures")

    unconstrained = "it adds J_off^T v, which does not vanish at a solution on the boundary, where v does not"

    def charged(self, local: LocalGame) -> tuple[str, ...]:
        """The players that pay for the others' gradients."""
        return local.players

    def direction(self, local: LocalGame) -> Params:
        J = local.jacobian()
        others = {i: tuple(j for j in local.players if j != i) for i in self.charged(local)}
        pull = {i: J.between(others[i], (i,)).rmv for i in others if others[i]}
        v = local.gradient(*pull.values())
        charge = {i: pull[i]({j: v[j] for j in others[i]})[i] for i in pull}
        return {**v, **add({i: v[i] for i in charge}, local.scale(self.gamma, charge))}


@dataclass(frozen=True)
class RegGeneratorOnly(Jare):
    """The same for the first player alone; the others step along v."""

    def charged(self, local: LocalGame) -> tuple[str, ...]:
        return local.players[:1]


@dataclass(frozen=True)
class RegDiscriminatorOnly(Jare):
    """The same for all but the first player, who steps along v."""

    def charged(self, local: LocalGame) -> tuple[str, ...]:
        return local.players[1:]
