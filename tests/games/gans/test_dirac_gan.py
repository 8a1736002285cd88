"""The Dirac-GAN: a nonlinear game converges at the rate of its fixed point."""

from __future__ import annotations

import math

import pytest

import counterplay as cp
from counterplay.core.game.regularizer import regularized

from ...support.cases import radius
from ...support.rates import norms_of, rate, zero


def test_a_nonlinear_game_converges_at_the_rate_of_its_fixed_point():
    """NUM, Prop. 3: near the equilibrium of the regularised Dirac-GAN the error shrinks by rho(F') a step."""
    game = cp.make("game", "dirac-gan", loss="non-saturating")
    r1 = cp.make("regularizer", "r1", gamma=0.3)
    solver = cp.make("solver", "simgd", lr=0.2)
    F = cp.update_jacobian(regularized(game, r1), solver, zero(game))
    slope = rate(norms_of(game, solver, 400, regularizers=[r1]), F, 250)
    assert radius(F) < 1 and slope == pytest.approx(math.log(radius(F)), rel=1e-3)
