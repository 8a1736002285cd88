"""Identities between methods: where one is another, and what changes none."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel

from ..support.affine import PLAYERS, affine, off
from ..support.cases import (  # fmt: skip
    F64,
    SmoothGan,
    close,
    close_trees,
    generator,
    jacobian,
    matrix_game,
    one_step,
    random,
    random_matrix,
    same_spectrum,
)


@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_conopt_is_simgd_on_the_game_with_the_consensus_regulariser(loss):
    """Zero-sum and general-sum, through the third derivatives: the same trajectory with any step rule.

    A bias before a normalisation has gradient 0 up to rounding, which Adam with a tiny eps would blow up.
    """
    game = SmoothGan(cp.make("loss", loss), batch=3)
    consensus = cp.make("regularizer", "consensus", gamma=0.5)
    for rule in ("sgd", {"name": "adam", "eps": 1e-3}):
        a = cp.run(game, cp.make("solver", "conopt", lr=0.05, gamma=0.5, rule=rule), steps=3)
        b = cp.run(game, cp.make("solver", "simgd", lr=0.05, rule=rule), steps=3, regularizers=[consensus])
        close_trees(a.params, b.params, 1e-10)


def test_conopt_and_jare_agree_where_nobody_has_curvature_of_their_own():
    A = random_matrix((2, 2), 3)
    game = matrix_game(off(A, (2, 2)), (2, 2))
    params = game.init(generator())
    a, b = (one_step(game, cp.make("solver", name, gamma=0.4), params) for name in ("conopt", "jare"))
    close_trees(a, b)


@pytest.mark.parametrize("name", ["conopt", "jare"])
def test_without_its_term_a_method_is_simgd(name):
    game, params, _, _ = affine((2, 3), 4)
    close_trees(
        one_step(game, cp.make("solver", name, gamma=0.0), params), one_step(game, cp.make("solver", "simgd"), params)
    )


def test_cgd_with_one_player_is_gradient_descent():
    H = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=F64)
    game = matrix_game(H, [2], shift=random(2))
    params = game.init(generator())
    for method in ("dense", "gmres"):
        close_trees(
            one_step(game, cp.make("solver", "cgd", method=method), params),
            one_step(game, cp.make("solver", "simgd"), params),
        )


def test_cgd_on_a_bilinear_game_is_implicit_euler():
    """theta+ = theta - eta v(theta+): without curvature of one's own the local game is the game."""
    game, eta = cp.make("game", "bilinear", alpha=3.0, dimension=4), 0.2
    params = game.init(generator())
    after = one_step(game, cp.make("solver", "cgd", lr=eta), params)
    v = ravel(LocalGame.of(game, after, {}).gradient())
    close(ravel(after) + eta * v, ravel(params))


@PLAYERS
@pytest.mark.parametrize("opposed", [True, False], ids=["zero-sum", "general-sum"])
def test_acgd_with_constant_step_sizes_is_cgd(sizes, opposed):
    """eps much larger than sqrt(v), lr scaled with it: alpha / (sqrt(v) + eps) is the constant alpha / eps."""
    game, *_ = affine(sizes, 9, opposed)
    for method in ("dense", "cg", "gmres"):
        acgd = cp.make("solver", "acgd", lr=0.1 * 1e12, eps=1e12, method=method, tol=1e-13)
        cgd = cp.make("solver", "cgd", lr=0.1, method=method, tol=1e-13)
        a, b = (cp.run(game, s, steps=3).params for s in (acgd, cgd))
        close_trees(a, b, 1e-10)


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
def test_an_order_of_players_is_only_an_order(name):
    """Relabelling the players changes nothing but the order of moves."""
    A = random_matrix((2, 3), 13)
    perm = [2, 3, 4, 0, 1]
    a, b = matrix_game(A, (2, 3)), matrix_game(A[perm][:, perm], (3, 2))
    start = a.init(generator())
    solver = cp.make("solver", name, lr=0.02)
    x = one_step(a, solver, start)
    y = one_step(b, solver, {"p0": start["p1"], "p1": start["p0"]})
    same = torch.allclose(ravel({"p1": y["p1"], "p0": y["p0"]}), ravel(x), rtol=1e-10)
    assert same == (name != "altgd")


@pytest.mark.parametrize("name", ["simgd", "altgd", "extragradient", "conopt", "jare", "cgd", "acgd"])
def test_a_regularised_game_is_a_game(name):
    """l2 on x adds 2 lambda to its curvature, under every solver."""
    game = cp.make("game", "quadratic", a=1.0, b=3.0, c=-1.0)
    l2 = cp.make("regularizer", "l2", weight=0.25, player="x")
    params = game.init(generator())
    solver = cp.make("solver", name, lr=0.03)
    found = one_step(regularized(game, l2), solver, params)
    close_trees(found, one_step(cp.make("game", "quadratic", a=1.25, b=3.0, c=-1.0), solver, params))
    same_spectrum(
        jacobian(regularized(game, l2), params), torch.linalg.eigvals(torch.tensor([[2.5, 3.0], [-3.0, 2.0]])), 1e-6
    )
