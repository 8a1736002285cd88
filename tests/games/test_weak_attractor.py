"""A weak attractor with a strong rotation: its spectrum, and who finds it."""

from __future__ import annotations

import math

import pytest

import counterplay as cp

from ..support.cases import jacobian, radius, same_spectrum
from ..support.toys import at, make


def test_weak_attractor():
    """1 +- 10i, so |1 - eta lambda|^2 = 1 - 2 eta + 101 eta^2: below 1 for eta < 2/101."""
    game = make("weak-attractor")
    origin = at(x=0.0, y=0.0)
    same_spectrum(jacobian(game, origin), [1 + 10j, 1 - 10j], 1e-12)
    rho = {}
    for eta in (0.01, 0.032, 0.1):
        rho[eta] = radius(cp.update_jacobian(game, cp.make("solver", "simgd", lr=eta), origin))
        assert rho[eta] == pytest.approx(math.sqrt(1 - 2 * eta + 101 * eta**2), abs=1e-12)
    assert 0.99 < rho[0.01] < 1 < rho[0.032] < 1.02 and rho[0.1] > 1.3, "slowly, slowly, rapidly"


def test_sga_finds_the_weak_attractor_where_gradient_play_does_not():
    game, origin = make("weak-attractor"), at(x=0.0, y=0.0)
    at_sga = radius(cp.update_jacobian(game, cp.make("solver", "sga", lr=0.01), origin))
    assert at_sga < radius(cp.update_jacobian(game, cp.make("solver", "simgd", lr=0.01), origin)) - 0.4
