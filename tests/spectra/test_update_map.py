"""The derivative of a step: what it is of, in which order, and that inner solves are differentiated as solves."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import counterplay as cp
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel

from ..support.cases import (
    F64,
    SmoothGan,
    close,
    difference,
    direction_like,
    generator,
    matrix_game,
    radius,
    random,
    random_matrix,
    same_spectrum,
    started,
)


def at(game, params, solver, batch):
    """theta -> theta+ with the memory at its start."""
    return lambda p: ravel(solver.step(game, p, solver.init(game, p), lambda: batch)[0])


@pytest.mark.parametrize("name", ["cgd", "acgd"])
@pytest.mark.parametrize("opposed", [True, False], ids=["zero-sum", "general-sum"])
@pytest.mark.parametrize("where", ["equilibrium", "elsewhere"])
def test_an_inner_solve_is_differentiated_as_a_solve(name, opposed, where):
    """At an equilibrium an iterative solve takes no step: unrolled, its derivative would be the identity."""
    sizes = (2, 2)
    A = random_matrix(sizes, 1, opposed)
    game = matrix_game(A, sizes, zero_sum=opposed)
    away = 0.0 if where == "equilibrium" else 1.0
    params = {f"p{n}": {"value": away * random(2, seed=n)} for n in range(2)}
    options = {"lr": 0.3, **({"eps": 0.5} if name == "acgd" else {})}
    methods = ("auto", "dense", "cg", "gmres")
    found = [cp.update_jacobian(game, cp.make("solver", name, method=m, **options), params) for m in methods]
    for F in found[1:]:
        close(F, found[0])
    if name == "cgd" or where == "equilibrium":
        eta = 0.3 / 0.5 if name == "acgd" else 0.3
        off, eye = A - torch.block_diag(A[:2, :2], A[2:, 2:]), torch.eye(4, dtype=F64)
        close(found[0][:4, :4], eye - torch.linalg.solve(eye + eta * off, eta * A))


def test_the_order_is_parameters_then_memory():
    """Momentum on v = A theta: [[I - eta A, -eta beta I], [A, beta I]]."""
    A, eye = random_matrix((2, 1), 2), torch.eye(3, dtype=F64)
    game = matrix_game(A, (2, 1))
    solver = cp.make("solver", "simgd", lr=0.1, rule={"name": "momentum", "beta": 0.7})
    F = cp.update_jacobian(game, solver, game.init(generator()))
    close(F, torch.cat([torch.cat([eye - 0.1 * A, -0.07 * eye], 1), torch.cat([A, 0.7 * eye], 1)]))


def test_step_counters_are_held_fixed():
    game = cp.make("game", "quadratic")
    solver = cp.make("solver", "simgd", rule="adam")
    result = cp.run(game, solver, steps=3)
    assert cp.update_jacobian(game, solver, result.params, result.memory).shape == (6, 6)


def test_memory_and_batch_are_the_ones_given():
    game = cp.make("game", "affine-gaussian", batch=5)
    _, params, batch = started(game)
    _, _, other = started(game, seed=3)
    solver = cp.make("solver", "simgd", lr=0.5, rule={"name": "rmsprop", "eps": 0.3})
    F = cp.update_jacobian(game, solver, params, batch=batch)
    assert not torch.allclose(F, cp.update_jacobian(game, solver, params, batch=other))
    warm = cp.run(game, solver, steps=5, start=params).memory
    assert not torch.allclose(F, cp.update_jacobian(game, solver, params, warm, batch))


def test_every_draw_of_a_step_sees_the_same_batch():
    """Alternating play draws once a move; its map is F_2 after F_1 on that batch."""
    game = SmoothGan(batch=3)
    _, params, batch = started(game)
    solver = cp.make("solver", "altgd", lr=0.1)
    F = cp.update_jacobian(game, solver, params, batch=batch)
    u = direction_like(params, 3)
    close(F @ ravel(u), difference(at(game, params, solver, batch), params, u), 2e-8)


def test_the_probe_batch_is_the_same_every_time():
    game = SmoothGan()
    params, solver = game.init(generator()), cp.make("solver", "simgd")
    assert torch.equal(cp.update_jacobian(game, solver, params), cp.update_jacobian(game, solver, params))


def test_buffers_of_the_probe_batch_have_been_renewed():
    """Spectral norm: random first vectors u, v make u^T W v anything; they are renewed until they rest."""
    game = regularized(SmoothGan(), cp.make("regularizer", "spectral-norm"))
    params, solver = game.init(generator()), cp.make("solver", "simgd", lr=1.0)
    rng = generator()
    buffers = game.buffers(rng)
    for _ in range(2000):
        buffers = game.refresh(params, buffers)
    batch = game.sample(rng, buffers)
    close(cp.update_jacobian(game, solver, params), cp.update_jacobian(game, solver, params, batch=batch))


def test_the_probe_batch_is_in_the_parameters_precision():
    game = cp.make("game", "mixture", hidden=3, layers=1, latent=2, batch=4)
    params = {i: {k: x.double() for k, x in t.items()} for i, t in game.init(generator()).items()}
    F = cp.update_jacobian(game, cp.make("solver", "simgd"), params)
    assert F.dtype == F64 and torch.isfinite(F).all()


def test_a_projection_belongs_to_the_step():
    @dataclass(frozen=True)
    class Clip(cp.Regularizer):
        def project(self, game, params):
            return {i: {k: x.clamp(-1, 1) for k, x in t.items()} for i, t in params.items()}

    game = regularized(cp.make("game", "bilinear"), Clip())
    outside = {"x": {"value": torch.tensor([5.0], dtype=F64)}, "y": {"value": torch.tensor([0.1], dtype=F64)}}
    F = cp.update_jacobian(game, cp.make("solver", "simgd", lr=0.01), outside)
    close(F, torch.tensor([[0.0, 0.0], [0.01, 1.0]], dtype=F64))


def test_it_is_the_same_inside_no_grad_and_leaves_no_graph():
    game, solver = cp.make("game", "quadratic"), cp.make("solver", "acgd")
    params = game.init(generator())
    F = cp.update_jacobian(game, solver, params)
    with torch.no_grad():
        assert torch.equal(cp.update_jacobian(game, solver, params), F)
    assert not F.requires_grad


def test_too_large_a_state_is_refused_in_words():
    game = cp.make("game", "bilinear", dimension=2501)
    with pytest.raises(cp.UsageError, match="5002"):
        cp.update_jacobian(game, cp.make("solver", "simgd"), game.init(generator()))


def test_acgd_at_an_equilibrium():
    """s = 0 and v = 0: step sizes lr / eps, and the moment decays on its own."""
    game = cp.make("game", "quadratic")
    zero = {i: {"value": torch.zeros(1, dtype=F64)} for i in "xy"}
    F = cp.update_jacobian(game, cp.make("solver", "acgd", lr=0.1, eps=0.5, beta2=0.9), zero)
    off = torch.tensor([[0.0, 10.0], [-10.0, 0.0]], dtype=F64)
    J, eye, eta = off + torch.diag(torch.tensor([2.0, -2.0], dtype=F64)), torch.eye(2, dtype=F64), 0.2
    close(F, torch.block_diag(eye - torch.linalg.solve(eye + eta * off, eta * J), 0.9 * eye))
    same_spectrum(F[2:, 2:], [0.9, 0.9], 1e-12)
    assert radius(F) == pytest.approx(max(0.9, radius(F[:2, :2])))


def test_regularizers_belong_to_the_game_that_is_stepped():
    """As in cp.run, in the order given; of |x|^2 weight the l2 penalty adds 2 w to x's own block."""
    game, solver = cp.make("game", "bilinear"), cp.make("solver", "simgd", lr=0.1)
    l2 = cp.make("regularizer", "l2", player="x", weight=2.0)
    F = cp.update_jacobian(game, solver, game.init(generator()), regularizers=[l2])
    close(F, cp.update_jacobian(regularized(game, l2), solver, game.init(generator())))
    assert not torch.allclose(F, cp.update_jacobian(game, solver, game.init(generator())))
