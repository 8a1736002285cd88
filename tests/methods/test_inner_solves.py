"""Inner solves of every method that has one: they agree, say how they went, and are differentiated as solves."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel, unravel
from counterplay.core.solver import inner_solve
from counterplay.core.spectra.update_map import UpdateMap

from ..support.arenas import arena, every_game
from ..support.cases import F64, SmoothGan, close, close_trees, one_step, started

INNER = [("implicit-euler", {}), ("stackelberg", {"damping": 0.2}), ("follow-the-ridge", {"leader": "p1"})]


@every_game
@pytest.mark.parametrize(("name", "options"), INNER, ids=[n for n, _ in INNER])
def test_inner_solves_agree_and_report_themselves(name, options, sizes, opposed):
    a = arena(sizes, 5, opposed, curvature=6.0)
    lr = a.named([0.3, 0.2, 0.4][: len(sizes)])
    symmetric = name != "implicit-euler" and len(sizes) == 2  # one follower: J_FF is its Hessian
    methods = ("dense", "gmres", *(["cg"] if symmetric else []))
    found = {}
    for method in methods:
        solver = cp.make("solver", name, lr=lr, method=method, tol=1e-12, **options)
        found[method], _, info = solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})
        assert info.inner["converged"] and info.inner["residual"] < 1e-11
        assert (int(info.inner["iterations"]) > 0) == (method != "dense")
        close(ravel(info.gradient), a.v())
        close_trees(found[method], found["dense"], 1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("implicit-euler", {"method": "gmres", "newton": 2}),
        ("stackelberg", {"method": "gmres", "damping": 0.2}),
        ("follow-the-ridge", {"method": "gmres", "leader": "p1"}),
        ("cgd", {"method": "gmres"}),
        ("cgd", {"method": "cg"}),
    ],
)
def test_a_solve_cut_short_says_so(name, options):
    a = arena((4, 4), 6, opposed=options["method"] == "cg")
    solver = cp.make("solver", name, max_iter=1, lr=1.0, **options)
    _, _, info = solver.step(a.game, a.params, solver.init(a.game, a.params), lambda: {})
    assert not info.inner["converged"] and info.inner["residual"] > 1e-3


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


@pytest.mark.parametrize("sizes", [(2, 3), (2, 1, 2)], ids=["two players", "three players"])
@pytest.mark.parametrize("where", ["equilibrium", "elsewhere"])
@pytest.mark.parametrize("name", ["implicit-euler", "stackelberg", "follow-the-ridge"])
def test_a_matrix_free_solve_has_the_derivative_of_the_dense_one(name, where, sizes, monkeypatch):
    """Through the implicit function, with no matrix in sight, on a bent game; also where the solve takes no step."""
    a = arena(sizes, 30, curvature=5.0, shift=False, bend=0.7)
    params, lr = unravel(a.theta * (where == "elsewhere"), a.params), [0.2, 0.5, 0.3][: len(sizes)]
    options, eye = {"lr": a.named(lr), "tol": 1e-13}, torch.eye(5, dtype=F64)
    plain = cp.make("solver", name, method="dense", **options)
    dense = cp.update_jacobian(a.game, plain, params)
    if where == "equilibrium":
        close(dense, at_equilibrium(name, LocalGame.of(a.game, params, {}), sizes[0], a.rows(lr)), 1e-9)
    h = 1e-4
    for n, e in enumerate(eye):
        up, down = (ravel(one_step(a.game, plain, unravel(ravel(params) + s * h * e, params))) for s in (1, -1))
        close(dense[:, n], (up - down) / (2 * h), 1e-6)
    monkeypatch.setattr(inner_solve, "DENSE_DERIVATIVE", 0)
    monkeypatch.setattr(inner_solve, "solve_dense", None)
    symmetric = name != "implicit-euler" and len(sizes) == 2  # one follower: J_FF is its Hessian
    for method in ("gmres", "cg") if symmetric else ("gmres",):
        F = UpdateMap(a.game, cp.make("solver", name, method=method, **options), params, None, {})
        _, pull = torch.func.vjp(F, F.vector((params, plain.init(a.game, params))))
        close(torch.stack([pull(e)[0] for e in eye]), dense, 1e-8)


def at_equilibrium(name, local, m, eta):
    """I - eta times the derivative of the method's field, where v = 0 (the derivative of J drops out)."""
    J = local.jacobian().dense()
    eye, D = torch.eye(len(J), dtype=F64), torch.diag(eta)
    if name == "implicit-euler":
        return torch.linalg.inv(eye + D @ J)
    r = -torch.linalg.solve(J[m:, m:], J[m:, :m])
    if name == "follow-the-ridge":
        along = torch.cat([J[:m], J[m:] + torch.linalg.inv(D[m:, m:]) @ r @ D[:m, :m] @ J[:m]])
        return eye - D @ along
    # grad_F l_1 vanishes there, too (no linear terms), and its derivative is the Hessian of l_1.
    H = torch.func.jacrev(lambda x: ravel(local.at(unravel(x, local.params)).loss_gradient(local.players[0])))(
        ravel(local.params)
    )
    return eye - D @ torch.cat([J[:m] + r.T @ H[m:], J[m:]])
