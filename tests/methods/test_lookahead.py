"""Lookahead-minmax: its algorithm, and the map of a period."""

from __future__ import annotations

import itertools

import pytest

import counterplay as cp
from counterplay.core.game.tree import ravel, unravel

from ..support.arenas import arena
from ..support.cases import close, close_trees, eigenvalues, generator, one_step
from ..support.rates import moved_by, zero


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("name", ["simgd", "ogda", "cgd"])
def test_lookahead_minmax_is_algorithm_1(k, name):
    """After each k inner steps, a share alpha of the way; the inner solver's memory goes on."""
    a, alpha = arena((2, 1), 9), 0.3
    wrapped = cp.make("solver", "lookahead-minmax", solver=cp.make("solver", name, lr=0.07), k=k, alpha=alpha)
    plain = cp.make("solver", name, lr=0.07)
    slow = fast = a.params
    memory = plain.init(a.game, fast)
    for step in range(1, 8):
        fast, memory, _ = plain.step(a.game, fast, memory, lambda: {})
        if step % k == 0:
            back = (1 - alpha) * ravel(slow) + alpha * ravel(fast)
            slow = fast = unravel(back, fast)
        close_trees(cp.run(a.game, wrapped, steps=step, start=a.params).params, fast)


def test_lookahead_minmax_that_keeps_the_whole_way_is_its_inner_solver():
    a = arena((2, 2), 10)
    for k, rule in itertools.product((1, 3), ("sgd", "adam")):
        plain = cp.make("solver", "extragradient", lr=0.05, rule=rule)
        wrapped = cp.make("solver", "lookahead-minmax", solver=plain, k=k, alpha=1.0)
        x, y = (cp.run(a.game, s, steps=7).params for s in (plain, wrapped))
        close_trees(x, y)
    lr = cp.make("solver", "lookahead-minmax", lr=0.2, alpha=1.0)
    close_trees(one_step(a.game, lr, a.params), one_step(a.game, cp.make("solver", "simgd", lr=0.2), a.params))


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
