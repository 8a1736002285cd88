"""Four players in rotation: spectrum, losses, and gradient play."""

from __future__ import annotations

import math

import pytest

import counterplay as cp

from ..support.cases import jacobian, radius, same_spectrum
from ..support.toys import at, losses, make


def cot(angle):
    return 1 / math.tan(angle)


@pytest.mark.parametrize("epsilon", [0.01, 0.0, 0.5])
def test_four_player(epsilon):
    game = make("four-player", epsilon=epsilon)
    origin = at(w=0.0, x=0.0, y=0.0, z=0.0)
    turns = [s * cot(k * math.pi / 8) for k in (1, 3) for s in (1, -1)]
    same_spectrum(jacobian(game, origin), [epsilon + 1j * t for t in turns], 1e-12)
    w, x, y, z = 0.3, -1.0, 2.0, 0.7
    own = losses(game, at(w=w, x=x, y=y, z=z))
    half = epsilon / 2
    assert own == {
        "w": pytest.approx(half * w * w + w * x + w * y + w * z),
        "x": pytest.approx(-w * x + half * x * x + x * y + x * z),
        "y": pytest.approx(-w * y - x * y + half * y * y + y * z),
        "z": pytest.approx(-w * z - x * z - y * z + half * z * z),
    }
    assert sum(own.values()) == pytest.approx(half * (w * w + x * x + y * y + z * z)), "zero-sum but for the attraction"


def test_without_an_attractor_four_players_never_settle_by_gradient_play():
    origin = at(w=0.0, x=0.0, y=0.0, z=0.0)
    for epsilon, lr, below in ((0.01, 0.001, True), (0.01, 0.01, False), (0.0, 0.001, False)):
        rho = radius(
            cp.update_jacobian(make("four-player", epsilon=epsilon), cp.make("solver", "simgd", lr=lr), origin)
        )
        assert (rho < 1) == below
