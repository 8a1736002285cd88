"""Implicit Euler: a linear solve on affine games, a fixed point on others."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel

from ..support.arenas import arena, every_game
from ..support.cases import F64, close, close_trees, matrix_game, member, started


@every_game
def test_implicit_euler_on_an_affine_game_is_a_linear_solve(sizes, opposed):
    """theta+ = (I + eta J)^{-1} (theta - eta v(0)), in one Newton step."""
    a = arena(sizes, 12, opposed)
    lr = [0.3 * (n + 1) for n in range(len(sizes))]
    eta, N = a.rows(lr), sum(sizes)
    exact = torch.linalg.solve(
        torch.eye(N, dtype=F64) + eta[:, None] * a.J, a.theta - eta * a.v(torch.zeros(N, dtype=F64))
    )
    table = Evaluator(a.game)
    found, _, info = cp.make("solver", "implicit-euler", lr=a.named(lr)).step(table, a.params, {}, lambda: {})
    close(ravel(found), exact, 1e-9)
    assert table.cost.gradients <= 4 and info.inner["converged"]


@pytest.mark.parametrize("method", ["dense", "gmres"])
def test_implicit_euler_s_fixed_point_on_a_bent_game(method):
    a = arena((3, 2), 13, curvature=3.0, bend=0.8)
    for eta in (0.05, 1.0):
        solver = cp.make("solver", "implicit-euler", lr=eta, method=method)
        found, _, info = solver.step(a.game, a.params, {}, lambda: {})
        v = ravel(LocalGame.of(a.game, found, {}).gradient())
        off = ravel(found) - a.theta + eta * v
        first = eta * ravel(LocalGame.of(a.game, a.params, {}).gradient()).norm()
        assert float(off.norm() / first) < 1e-10 and info.inner["converged"]
        assert float(info.inner["residual"]) == pytest.approx(float(off.norm() / first), abs=1e-14)


def test_implicit_euler_that_does_not_get_there_says_so():
    a = arena((2, 2), 14, bend=3.0)
    _, _, info = cp.make("solver", "implicit-euler", lr=5.0, newton=1).step(a.game, a.params, {}, lambda: {})
    assert not info.inner["converged"]


def test_implicit_euler_converges_to_an_equilibrium_elsewhere():
    """Where v is smaller than the rounding of theta there is nothing left to solve: no step counts as failed."""
    for scale, opposed in ((1.0, True), (1e3, False)):
        a = arena((2, 2), 15, opposed, curvature=4.0)
        game = matrix_game(a.J, (2, 2), shift=scale * a.c[0])
        solved: list[bool] = []
        result = cp.run(
            game,
            cp.make("solver", "implicit-euler", lr=0.5),
            steps=60,
            observers=[lambda seen, s=solved: s.append(bool(seen.info.inner.get("converged", True)))],
        )
        close(ravel(result.params), -torch.linalg.solve(a.J, scale * a.c[0]))
        assert all(solved)


def test_implicit_euler_members_do_not_touch_each_other():
    """One is at rest, one needs many Newton steps: their counts are their own."""
    a = arena((2, 2), 16, curvature=3.0, shift=False, bend=1.0)
    table, many, _ = started(a.game, members=3)
    many = {i: {k: x * torch.tensor([[0.0], [0.3], [3.0]], dtype=F64) for k, x in t.items()} for i, t in many.items()}
    for method, tol in (("dense", None), ("gmres", None), ("gmres", 0.03)):  # a loose one leaves room to tell
        solver = cp.make("solver", "implicit-euler", lr=0.7, method=method, tol=tol)
        found, _, info = solver.step(table, many, {}, lambda: {})
        assert bool(info.inner["converged"].all())
        for m in range(3):
            one, _, own = solver.step(a.game, member(many, m), {}, lambda: {})
            close_trees(member(found, m), one)
            assert int(info.inner["iterations"][m]) == int(own.inner["iterations"])
        assert method == "dense" or info.inner["iterations"][0] == 0 < info.inner["iterations"][1]
