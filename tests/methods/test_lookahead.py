"""Lookahead-minmax: its algorithm, and the map of a period."""

from __future__ import annotations

import pytest

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import close, eigenvalues, generator
from ..support.rates import moved_by, zero


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (5, 0.5), (6, 0.3)])
def test_lookahead_minmax_tames_a_rotation(k, alpha):
    """The map of a period on the bilinear game: 1 - alpha + alpha (1 + iq)^k, where simgd alone diverges."""
    q = 0.2
    F = moved_by(cp.make("game", "bilinear"), "lookahead-minmax", lr=q, k=k, alpha=alpha)
    mu = 1 - alpha + alpha * (1 + 1j * q) ** k
    found = [z for z in eigenvalues(F).tolist() if abs(z) > 1e-9]
    assert sorted(abs(z) for z in found) == pytest.approx([abs(mu)] * 2, abs=1e-9)
    assert (abs(mu) < 1) == (k > 1)


def test_a_period_within_a_period():
    """Returns every 3 steps around returns every 2: two periods are F' twice."""
    game, within = cp.make("game", "bilinear"), {"name": "lookahead-minmax", "k": 2, "lr": 0.3}
    solver = cp.make("solver", "lookahead-minmax", solver=within, k=3)
    F = cp.update_jacobian(game, solver, zero(game))[:2, :2]
    start = game.init(generator())
    after = cp.run(game, solver, steps=2 * solver.period, start=start).params
    close(ravel(after), F @ F @ ravel(start))
