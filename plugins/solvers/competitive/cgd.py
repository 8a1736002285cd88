"""Competitive gradient descent.

Each player's step d_i is its strategy in the Nash equilibrium of the regularised local game

    min over d_i of   v_i . d_i + sum_{j != i} d_i . J_ij d_j + ||d_i||^2 / (2 eta_i)

whose solution for all players at once is    d = -(I + eta J_off)^{-1} eta v,    J_off the off-diagonal blocks of J.

Zero-sum and general-sum: Schäfer and Anandkumar (2019, arXiv 1905.12103), eq. 4; n players, polymatrix: Ma et al.
(2021, arXiv 2103.04491); GANs: Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.derivatives.local import LocalGame
from ....core.game.tree import Params, tmap
from ....core.options import StepSize, option
from ....core.solver.solver import Memory
from .system import Competitive


@dataclass(frozen=True)
class Cgd(Competitive):
    """theta + d, with d the Nash step of the local game."""

    lr: StepSize = option(0.01, "eta: a number, one per player, or one per member")

    def step_sizes(self, local: LocalGame, memory: Memory) -> tuple[Params, Memory]:
        return local.scale(self.lr, tmap(lambda x: x.new_ones(x.shape), local.params)), {}
