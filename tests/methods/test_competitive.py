"""Competitive gradient descent, and its adaptive form: formulas, and what a solve costs."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.game.tree import ravel

from ..support.affine import PLAYERS, affine, off, own_rows
from ..support.cases import F64, close, close_trees, generator, identical, member, one_step, random, started


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


def test_a_player_who_is_held_is_reckoned_with_but_stays():
    """The others take their part of the Nash step of all; with a step size of 0 they would not expect an answer."""
    game, params, _, _ = affine((2, 3), 7, True)
    together, held = (one_step(game, cp.make("solver", "cgd", lr=0.3, hold=who), params) for who in (None, "p0"))
    identical(held["p0"]["value"], params["p0"]["value"])
    identical(held["p1"]["value"], together["p1"]["value"])
    frozen = one_step(game, cp.make("solver", "cgd", lr={"p0": 0.0, "p1": 0.3}), params)
    assert float((frozen["p1"]["value"] - held["p1"]["value"]).abs().max()) > 1e-3
    with pytest.raises(cp.UsageError, match="hold is 'p7'; the players are p0, p1"):
        one_step(game, cp.make("solver", "cgd", hold="p7"), params)


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
