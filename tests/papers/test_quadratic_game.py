"""Published figures of the quadratic game. Everyone minimises: stable iff Re lambda(J) > 0.

Each was derived again before it was written down; where a published statement does not hold as printed, the test
says what does.
"""

from __future__ import annotations

import math

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame

from ..support.cases import F64, close, jacobian, radius, same_spectrum
from ..support.rates import moved_by, norms_of, rate, zero

QUADRATIC = [((0.09, 0.01), 0.96250), ((0.03, 0.03), 1.04231), ((0.01, 0.09), 1.11642)]


@pytest.mark.parametrize(("lr", "rho"), QUADRATIC)
def test_radius_of_simgd_on_the_quadratic_game(lr, rho):
    """F' = I - diag(eta) [[2, 10], [-10, -2]]."""
    F = moved_by(cp.make("game", "quadratic"), "simgd", lr=dict(zip("xy", lr, strict=True)))
    J = torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64)
    close(F, torch.eye(2, dtype=F64) - torch.diag(torch.tensor(lr, dtype=F64)) @ J)
    assert radius(F) == pytest.approx(rho, abs=5e-6)


def test_jacobian_of_the_quadratic_game():
    """x^2 + 10 xy + y^2: y climbs it, so its own curvature is -2 and the origin is the worst point for y alone."""
    game = cp.make("game", "quadratic")
    close(jacobian(game, zero(game)), torch.tensor([[2.0, 10.0], [-10.0, -2.0]], dtype=F64))
    same_spectrum(jacobian(game, zero(game)), [96**0.5 * 1j, -(96**0.5) * 1j], 1e-12)
    close(LocalGame.of(game, zero(game), {}).jacobian().block("y", "y").dense(), torch.tensor([[-2.0]], dtype=F64))


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.4])
def test_with_x_frozen_y_alone_always_diverges(lr):
    """ICR, section 1: 1 + 2 eta > 1."""
    F = moved_by(cp.make("game", "quadratic"), "simgd", lr={"x": 0.0, "y": lr})
    same_spectrum(F, [1.0, 1 + 2 * lr], 1e-12)


@pytest.mark.parametrize(("lr", "rho"), QUADRATIC)
def test_the_quadratic_game_s_three_fates(lr, rho):
    """ICR Fig. 3: (.09, .01) converges, (.03, .03) diverges slowly, (.01, .09) quickly; all at their own rate."""
    solver = cp.make("solver", "simgd", lr=dict(zip("xy", lr, strict=True)))
    game = cp.make("game", "quadratic")
    slope = rate(norms_of(game, solver, 300), cp.update_jacobian(game, solver, zero(game)))
    assert math.exp(slope) == pytest.approx(rho, abs=2e-5)
