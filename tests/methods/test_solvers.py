"""Identities between methods, and each direction against its formula."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import leaves, like, ravel

from ..support.cases import (  # fmt: skip
    F64,
    SmoothGan,
    close,
    close_trees,
    diagonal_blocks,
    generator,
    identical,
    jacobian,
    matrix_game,
    member,
    one_step,
    random,
    random_matrix,
    same_spectrum,
    started,
)

SIZES = {"two players": (2, 3), "three players": (2, 3, 1), "four players": (1, 1, 2, 2)}
PLAYERS = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())


def affine(sizes, seed, opposed=False):
    A, c = random_matrix(sizes, seed, opposed), random(sum(sizes), seed=seed + 100)
    game = matrix_game(A, sizes, shift=c, zero_sum=opposed)
    params = game.init(generator())
    return game, params, A, A @ ravel(params) + c


def off(A, sizes):
    return A - diagonal_blocks(A, sizes)


def own_rows(sizes, values):
    return torch.cat([torch.full((n,), float(x), dtype=F64) for n, x in zip(sizes, values, strict=True)])


# ------------------------------------------------------------------------------------------------- first-order methods


@PLAYERS
def test_directions_are_their_formulas(sizes):
    game, params, A, v = affine(sizes, 1)
    theta, eta, gamma = ravel(params), 0.03, 0.7
    for name, options, direction in [
        ("simgd", {}, v),
        ("conopt", {"gamma": gamma}, v + gamma * A.T @ v),
        ("jare", {"gamma": gamma}, v + gamma * off(A, sizes).T @ v),
    ]:
        found = one_step(game, cp.make("solver", name, lr=eta, **options), params)
        close(ravel(found), theta - eta * direction)


@PLAYERS
def test_options_per_player(sizes):
    """lr and gamma of player i belong to player i's own step."""
    game, params, A, v = affine(sizes, 2)
    lr, gamma = ({f"p{n}": 0.01 * (n + k) for n in range(len(sizes))} for k in (1, 3))
    eta, weight = own_rows(sizes, lr.values()), own_rows(sizes, gamma.values())
    for name, M in [("conopt", A), ("jare", off(A, sizes))]:
        found = one_step(game, cp.make("solver", name, lr=lr, gamma=gamma), params)
        close(ravel(found), ravel(params) - eta * (v + weight * (M.T @ v)))


def test_jare_is_half_the_squared_gradient_of_the_others():
    """v_i + gamma/2 grad_i ||v_j||^2, by plain autograd on a nonlinear general-sum game: the half belongs there."""
    game = SmoothGan()
    table, params, batch = started(game)
    gamma = 0.8
    own = like(params, [x.clone().requires_grad_() for x in leaves(params)])
    losses = game.losses(own, batch)
    g, d = (own[i] for i in game.players)
    v_g = torch.autograd.grad(losses["generator"], list(g.values()), create_graph=True)
    v_d = torch.autograd.grad(losses["discriminator"], list(d.values()), create_graph=True)
    half = {"generator": sum((x * x).sum() for x in v_d) / 2, "discriminator": sum((x * x).sum() for x in v_g) / 2}
    expected = {}
    for i, tree, v in (("generator", g, v_g), ("discriminator", d, v_d)):
        more = torch.autograd.grad(half[i], list(tree.values()), retain_graph=True, allow_unused=True)
        zipped = zip(tree, v, more, strict=True)
        expected[i] = {k: (a if b is None else a + gamma * b).detach() for k, a, b in zipped}
    found = cp.make("solver", "jare", gamma=gamma).direction(LocalGame.of(table, params, batch))
    close_trees(found, expected)


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


# ---------------------------------------------------------------------------------------- competitive gradient descent


@PLAYERS
@pytest.mark.parametrize("opposed", [True, False], ids=["zero-sum", "general-sum"])
@pytest.mark.parametrize("method", ["auto", "dense", "cg", "gmres"])
def test_cgd_is_its_formula(sizes, opposed, method):
    """d = -(I + eta J_off)^{-1} eta v, with a step size for each player."""
    game, params, A, v = affine(sizes, 5, opposed)
    values = [0.1 * (n + 1) for n in range(len(sizes))]
    eta = own_rows(sizes, values)
    lr = {f"p{n}": x for n, x in enumerate(values)}
    table = Evaluator(game)
    solver = cp.make("solver", "cgd", lr=lr, method=method, tol=1e-13)
    found, _, info = solver.step(table, params, {}, lambda: {})
    step = torch.linalg.solve(torch.eye(len(A), dtype=F64) + eta[:, None] * off(A, sizes), -eta * v)
    close(ravel(found), ravel(params) + step, 1e-11)
    assert info.inner["converged"] and info.inner["residual"] <= 1e-12
    close(ravel(info.gradient), v)
    uses_cg = method == "cg" and opposed and len(sizes) == 2
    if uses_cg:
        assert table.cost.products == 2 * int(info.inner["iterations"]) + 1
    elif method in ("cg", "gmres"):
        products = int(info.inner["iterations"]) + 1  # the true residual at the end
        assert table.cost.products == products * len(sizes)


def test_cgd_is_the_nash_point_of_the_local_game():
    """No player gains by deviating: grad of  v_i d_i + d_i J_ij d_j + |d_i|^2 / (2 eta_i)  in d_i is 0 for each i."""
    sizes, eta = (2, 1, 2), [0.2, 0.5, 0.3]
    game, params, A, v = affine(sizes, 6)
    solver = cp.make("solver", "cgd", lr={f"p{n}": x for n, x in enumerate(eta)})
    d = ravel(one_step(game, solver, params)) - ravel(params)
    close(v + off(A, sizes) @ d + d / own_rows(sizes, eta), torch.zeros(5, dtype=F64), 1e-11)


@pytest.mark.parametrize("name", ["cgd", "acgd"])
@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
def test_inner_solves_agree_on_a_gan(name, loss):
    """Matrix-free and dense, zero-sum and general-sum, on a point where nothing is linear; acgd in its second step."""
    game = SmoothGan(cp.make("loss", loss))
    table, params, batch = started(game)
    found = {}
    for method in ("dense", "cg", "gmres"):
        solver = cp.make("solver", name, lr=0.5, method=method, tol=1e-12)
        once, memory, _ = solver.step(table, params, solver.init(table, params), lambda: batch)
        found[method], _, info = solver.step(table, once, memory, lambda: batch)
        assert info.inner["converged"] and (int(info.inner["iterations"]) > 1) == (method != "dense")
    close_trees(found["cg"], found["dense"], 1e-8)
    close_trees(found["gmres"], found["dense"], 1e-8)


@pytest.mark.parametrize("name", ["cgd", "acgd"])
def test_conjugate_gradient_takes_two_products_an_iteration_and_one_more(name):
    game = cp.make("game", "bilinear", dimension=150)  # more than "auto" solves densely
    A = random(150, 150, seed=7) / 10
    coupled = cp.game_from_losses(
        lambda p, b: {"x": p["x"]["value"] @ (A @ p["y"]["value"]), "y": -(p["x"]["value"] @ (A @ p["y"]["value"]))},
        game.init(generator()), zero_sum=True,
    )  # fmt: skip
    table = Evaluator(coupled)
    solver = cp.make("solver", name, lr=0.1)
    params = coupled.init(generator())
    _, _, info = solver.step(table, params, solver.init(table, params), lambda: {})
    k = int(info.inner["iterations"])
    assert k > 3 and info.inner["converged"]
    assert table.cost.products == 2 * k + 1 and table.cost.gradients == 1


def coupled(x, y):
    """x A y + |x|^2 / 2 against its opposite: zero-sum, more unknowns than "auto" solves densely."""
    g = generator(7)
    A = torch.randn(x, y, generator=g, dtype=F64) / 10
    start = {i: {"value": torch.randn(n, generator=g, dtype=F64)} for i, n in (("x", x), ("y", y))}

    def losses(p, batch):
        x, y = p["x"]["value"], p["y"]["value"]
        loss = x @ (A @ y) + 0.5 * x @ x - 0.5 * y @ y
        return {"x": loss, "y": -loss}

    return cp.game_from_losses(losses, start, zero_sum=True), start


@pytest.mark.parametrize("name", ["cgd", "acgd"])
def test_either_player_can_be_solved_for(name):
    """The system of one player or of the other: the same step. By default it is the smaller."""
    game, params = coupled(130, 120)
    table, steps = Evaluator(game), {}
    for who in ("x", "y", None):
        solver = cp.make("solver", name, lr=0.3, solve_for=who)
        steps[who], _, info = solver.step(table, params, solver.init(table, params), lambda: {})
        assert info.inner["converged"] and info.inner["iterations"] > 1
    close_trees(steps["x"], steps["y"], 1e-9)
    assert identical(steps[None], steps["y"]) and not identical(steps["x"], steps["y"])
    with pytest.raises(cp.UsageError, match="the players are x, y"):
        cp.run(game, cp.make("solver", name, solve_for="z"), steps=1)


@pytest.mark.parametrize("method", ["cg", "gmres"])
@pytest.mark.parametrize("name", ["cgd", "acgd"])
def test_a_warm_start_saves_iterations_and_changes_no_step(name, method):
    """acgd's step sizes move all the time: the last step is scaled to today's, or it would be no good start."""
    game, start = coupled(30, 20)
    table, found = Evaluator(game), {}
    for warm in (False, True):
        solver = cp.make("solver", name, lr=0.02, method=method, warm_start=warm, tol=1e-8)
        memory, params, iterations = solver.init(table, start), start, []
        for _ in range(30):
            params, memory, info = solver.step(table, params, memory, lambda: {})
            iterations.append(int(info.inner["iterations"]))
        found[warm] = params, sum(iterations[10:])
    close_trees(found[True][0], found[False][0], 1e-6)
    assert found[True][1] <= 0.9 * found[False][1]


def test_auto_is_dense_when_small_and_matrix_free_when_not():
    for dimension, iterations in ((100, 0), (101, 1)):
        game = cp.make("game", "bilinear", dimension=dimension)
        solver = cp.make("solver", "cgd", lr=0.2)
        _, _, info = solver.step(game, game.init(generator()), {}, lambda: {})
        assert int(info.inner["iterations"]) == iterations, "I + M M^T is a multiple of I here"


def test_a_solve_cut_short_says_so():
    game, params, *_ = affine((5, 5), 8, True)
    _, _, info = cp.make("solver", "cgd", lr=1.0, method="cg", max_iter=1).step(game, params, {}, lambda: {})
    assert not info.inner["converged"] and info.inner["residual"] > 1e-3


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


def test_acgd_is_algorithm_1_with_the_raw_moment_kept():
    """Three steps written out: the moment that is carried is not bias-corrected, the step sizes are."""
    sizes, lr, beta2, eps = (2, 1), 0.05, 0.9, 1e-3
    game, params, A, _ = affine(sizes, 10, True)
    c = random(3, seed=110)
    theta, s = ravel(params), torch.zeros(3, dtype=F64)
    for t in range(1, 4):
        v = A @ theta + c
        s = beta2 * s + (1 - beta2) * v * v
        eta = lr / ((s / (1 - beta2**t)).sqrt() + eps)
        M = torch.eye(3, dtype=F64) + eta[:, None] * off(A, sizes)
        theta = theta + torch.linalg.solve(M, -eta * v)
    for method in ("dense", "cg", "gmres"):
        result = cp.run(game, cp.make("solver", "acgd", lr=lr, beta2=beta2, eps=eps, method=method, tol=1e-13), steps=3)
        close(ravel(result.params), theta, 1e-11)
        close(ravel(result.memory["s"]), s, 1e-11)


@pytest.mark.parametrize("name", ["cgd", "acgd"])
@pytest.mark.parametrize("method", ["dense", "cg", "gmres"])
def test_members_whose_solves_end_at_different_times(name, method):
    """A step size for each member: their systems need different numbers of iterations."""
    game, params, *_ = affine((4, 4), 11, True)
    lr = [1e-6, 0.1, 2.0]
    make = lambda lr: cp.make("solver", name, lr=lr, method=method)  # noqa: E731
    many = cp.run(game, make(lr), steps=2, start=params, members=3)
    for m, own in enumerate(lr):
        alone = cp.run(game, make(own), steps=2, start=params)
        close_trees(member(many.params, m), alone.params, 1e-8)


def test_inner_figures_are_one_for_each_member():
    game, *_ = affine((4, 4), 12, True)
    table, many, _ = started(game, members=2)
    for method in ("dense", "cg", "gmres"):
        _, _, info = cp.make("solver", "cgd", lr=[1e-9, 1.0], method=method).step(table, many, {}, lambda: {})
        assert {k: tuple(x.shape) for k, x in info.inner.items()} == {
            "iterations": (2,),
            "residual": (2,),
            "converged": (2,),
        }
        if method == "cg":
            assert info.inner["iterations"][0] < info.inner["iterations"][1]


@pytest.mark.parametrize("method", ["dense", "cg", "gmres"])
def test_a_jacobian_that_is_not_finite_is_a_run_that_diverges(method, monkeypatch):
    """v is finite at 0, J is not: sqrt has no derivative there. The run ends in words, and LAPACK never sees it."""
    losses = lambda p, b: {  # noqa: E731
        "x": (p["x"]["w"] * p["y"]["w"].abs().sqrt()).sum(), "y": (p["y"]["w"] * p["x"]["w"].abs() ** 1.5).sum(),
    }  # fmt: skip
    start = {"x": {"w": torch.ones(2, dtype=F64)}, "y": {"w": torch.zeros(2, dtype=F64)}}
    solve = torch.linalg.solve_ex

    def checked(*args):
        assert all(torch.isfinite(x).all() for x in args)
        return solve(*args)

    monkeypatch.setattr(torch.linalg, "solve_ex", checked)
    result = cp.run(cp.game_from_losses(losses, start), cp.make("solver", "cgd", method=method), steps=3)
    assert result.status == "diverged" and identical(result.params, start)


# --------------------------------------------------------------------------------------------------- players in general


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
