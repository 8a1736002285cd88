"""Jacobian regularisation, of both players or of one.

    theta_i <- theta_i - eta (v_i + gamma/2 grad_i sum_{j != i} ||v_j||^2)
             = theta_i - eta (v_i + gamma sum_{j != i} J_ji^T v_j)

jare                     every player i is penalised for the size of the *other* players' gradients, so that the
                         curvature of its own loss stays as it is. Nie and Patel (2020, arXiv 1806.09235), eq. 7
reg-generator-only       only the first player (the generator) is penalised; ibid. section 5.1, after Nagarajan and
                         Kolter (2017, arXiv 1706.04156)
reg-discriminator-only   only the others are; ibid. section 5.1

The source has two players. For more, the sum over j is our generalisation.
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

    def penalised(self, local: LocalGame) -> tuple[str, ...]:
        """The players who are penalised for the size of the others' gradients."""
        return local.players

    def direction(self, local: LocalGame) -> Params:
        J = local.jacobian()
        others = {i: tuple(j for j in local.players if j != i) for i in self.penalised(local)}
        pull = {i: J.between(others[i], (i,)).rmv for i in others if others[i]}
        v = local.gradient(*pull.values())
        penalty = {i: pull[i]({j: v[j] for j in others[i]})[i] for i in pull}  # sum_{j != i} J_ji^T v_j
        return {**v, **add({i: v[i] for i in penalty}, local.scale(self.gamma, penalty))}


@dataclass(frozen=True)
class RegGeneratorOnly(Jare):
    """jare's penalty for the first player only; the others step along v."""

    def penalised(self, local: LocalGame) -> tuple[str, ...]:
        return local.players[:1]


@dataclass(frozen=True)
class RegDiscriminatorOnly(Jare):
    """jare's penalty for all but the first player, who steps along v."""

    def penalised(self, local: LocalGame) -> tuple[str, ...]:
        return local.players[1:]
