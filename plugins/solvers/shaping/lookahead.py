"""Opponent shaping: la, lola and sos.

alpha are the step sizes expected of the opponents (``opponent_lr``, by default lr):

la      xi_0 = v - J_off alpha v    v_i, to first order, where the others will be after a step: Zhang and Lesser (2010),
                                    Letcher et al. (2019), section 3.1
lola    xi_0 - chi                  which also uses player i's influence on the others' steps,
                                    chi_i = sum_j alpha_j J_ji^T grad_j l_i: Foerster et al. (2018, arXiv 1709.04326) in
                                    the first-order form of Letcher et al.; ``exact`` differentiates the look-ahead loss
sos     xi_0 - p chi                with p in [0, 1] chosen so that it converges:
          p1 = 1 if <-chi, xi_0> >= 0, else min(1, -a ||xi_0||^2 / <-chi, xi_0>);  p2 = ||v||^2 if ||v|| < b, else 1
          p = min(p1, p2)                   Letcher et al. (2019, arXiv 1811.08469), Alg. 1, a = 0.5, b = 0.1

The expected steps stay in the strategy sets. The games may be general-sum, of n players. At alpha = 0 all three are
simgd.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, add, scale, sub
from ....core.options import OpenShare, StepSize, option
from ....core.solver.solver import Composed
from .transforms import ExactLola, FirstOrderLola


def expected_steps(local: LocalGame, alpha: StepSize, v: Params) -> Params:
    """alpha v, the step (downwards) that each player is expected to take; shorter where its strategy set ends."""
    steps = local.scale(alpha, v)
    return sub(local.params, local.project(sub(local.params, steps))) if local.game.projects else steps


@dataclass(frozen=True)
class La(Composed):
    """theta - lr * rule(v - J_off alpha v)."""

    opponent_lr: StepSize | None = option(None, "alpha, the step size expected of each opponent; by default lr")

    @property
    def alpha(self) -> StepSize:
        """The step size expected of each opponent."""
        return self.lr if self.opponent_lr is None else self.opponent_lr

    def look_ahead(self, local: LocalGame) -> Params:
        """xi_0 = v - J_off alpha v."""
        v = local.gradient()
        return sub(v, local.jacobian().off_diagonal().mv(expected_steps(local, self.alpha, v)))

    def shape(self, local: LocalGame, exact: bool = False) -> Params:
        """xi_0 - chi: the v of losses that foresee the opponents' steps."""
        return local.under(ExactLola if exact else FirstOrderLola, opponent_lr=self.alpha).gradient()

    def direction(self, local: LocalGame) -> Params:
        return self.look_ahead(local)


@dataclass(frozen=True)
class Lola(La):
    """theta - lr * rule(v - J_off alpha v - chi)."""

    exact: bool = option(False, "the look-ahead loss itself instead of its first order")

    def direction(self, local: LocalGame) -> Params:
        return self.shape(local, self.exact)


@dataclass(frozen=True)
class Sos(La):
    """theta - lr * rule(v - J_off alpha v - p chi)."""

    a: OpenShare = option(0.5, "share of the look-ahead direction that shaping may take away")
    b: OpenShare = option(0.1, "gradient norm below which shaping fades out")

    unconstrained = "its shaping fades out with the size of v, which stays at a solution on the boundary"

    def direction(self, local: LocalGame) -> Params:
        v, xi_0 = local.gradient(), self.look_ahead(local)
        shaping = sub(self.shape(local), xi_0)  # -chi
        return add(xi_0, scale(shaping, self._share(local, v, xi_0, shaping)))

    def _share(self, local: LocalGame, v: Params, xi_0: Params, shaping: Params) -> Tensor:
        """p: a scalar, or for an ensemble (M,)."""
        along = local.dot(shaping, xi_0)
        against = torch.where(along < 0, along, -torch.ones_like(along))
        p1 = torch.where(along < 0, (-self.a * local.dot(xi_0, xi_0) / against).clamp(max=1), torch.ones_like(along))
        square = local.dot(v, v)
        p2 = torch.where(square < self.b**2, square, torch.ones_like(square))
        return torch.minimum(p1, p2)
