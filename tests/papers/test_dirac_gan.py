"""Spectra of the Dirac-GAN. Everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import cmath
import math

import pytest

import counterplay as cp
from counterplay.core.game.regularizer import regularized

from ..support.cases import jacobian, radius, same_spectrum, started
from ..support.rates import norms_of, rate, zero


@pytest.mark.parametrize(("loss", "strength"), [("saturating", 0.5), ("non-saturating", 0.5), ("wgan", 1.0)])
def test_spectrum_of_the_dirac_gan(loss, strength):
    """J = [[0, f'(0)], [-f'(0), 0]]: f' = sigma(0) = 1/2 for cross entropy, 1 for wgan. No curvature at 0."""
    game = cp.make("game", "dirac-gan", loss=loss)
    table, _, batch = started(game)
    same_spectrum(jacobian(table, zero(game), batch), [strength * 1j, -strength * 1j], 1e-12)
    h = 0.3
    F = cp.update_jacobian(game, cp.make("solver", "simgd", lr=h), zero(game), batch=batch)
    assert radius(F) == pytest.approx(math.sqrt(1 + (strength * h) ** 2), abs=1e-12)


@pytest.mark.parametrize(
    ("gamma", "figures"),
    [(0.3, [0.15 + 0.47697j, 0.15 - 0.47697j]), (1.0, [0.5, 0.5]), (2.0, [0.13397, 1.86603])],
)
@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_spectrum_of_the_dirac_gan_under_r1(gamma, figures, loss):
    """R1 adds gamma/2 theta^2 to D, so gamma to its curvature: lambda^2 - gamma lambda + 1/4 = 0."""
    game = cp.make("game", "dirac-gan", loss=loss)
    table, _, batch = started(regularized(game, cp.make("regularizer", "r1", gamma=gamma)))
    J = jacobian(table, zero(game), batch)
    root = cmath.sqrt(gamma**2 / 4 - 0.25)
    same_spectrum(J, [gamma / 2 + root, gamma / 2 - root], 2e-8)  # a double eigenvalue moves by the root of rounding
    same_spectrum(J, figures, 6e-6)


def test_a_nonlinear_game_converges_at_the_rate_of_its_fixed_point():
    """NUM, Prop. 3: near the equilibrium of the regularised Dirac-GAN the error shrinks by rho(F') a step."""
    game = cp.make("game", "dirac-gan", loss="non-saturating")
    r1 = cp.make("regularizer", "r1", gamma=0.3)
    solver = cp.make("solver", "simgd", lr=0.2)
    F = cp.update_jacobian(regularized(game, r1), solver, zero(game))
    slope = rate(norms_of(game, solver, 400, regularizers=[r1]), F, 250)
    assert radius(F) < 1 and slope == pytest.approx(math.log(radius(F)), rel=1e-3)
