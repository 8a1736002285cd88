"""What a step is said to cost: what is evaluated, whoever asks for it, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import counterplay as cp
from counterplay.analysis.commands.summary import summarize
from counterplay.analysis.figures.plot import plot
from counterplay.core.derivatives.inner_derivatives import field_cost
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel

from ..support.cases import (
    QUADRATIC,
    SmoothGan,
    close_trees,
    generator,
    matrix_game,
    random,
    random_matrix,
    simgd,
    started,
)
from ..support.regularized import make


def spent(game, solver, trace=False, members=None):
    """(gradients, products, samples) of one step, and where it led."""
    table, params, batch = started(game, members=members, trace=trace)
    table.cost.spent = 0, 0, 0
    with torch.no_grad():
        after, _, _ = solver.step(table, params, solver.init(table, params), lambda: batch)
    return table.cost.spent, after


@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("under", [[], [make("r1")], [make("gradient-penalty"), make("l2")]])
def test_the_same_field_costs_the_same_as_a_direction_and_as_a_penalty(under, trace):
    game = regularized(cp.make("game", "mixture", hidden=5, layers=1, latent=2, batch=6), *under)
    conopt, a = spent(game, cp.make("solver", "conopt", lr=1e-3, gamma=1.0), trace)
    consensus, b = spent(regularized(game, make("consensus", gamma=1.0)), simgd(1e-3), trace)
    close_trees(a, b, 1e-9)
    inside = 1 if under else 0  # of v, and once more of the product
    assert conopt == consensus == (1, 1 + 2 * inside, 0)


@dataclass(frozen=True)
class Penalty(cp.Regularizer):
    """A third party's: ``of(x)`` of everyone's parameters x (N,), for the first player alone."""

    of: Callable[[Tensor], Tensor] | None = None

    def penalties(self, game, params, batch):
        return {game.players[0]: self.of(ravel(params))}


def cube(x):
    return (x**3).sum()


def several(x):
    """The gradients of three losses from one evaluation."""
    pull = vjp(lambda x: x[:3] ** 3, x)[1]
    return sum(pull(e)[0].square().sum() for e in torch.eye(3, dtype=x.dtype))


@pytest.mark.parametrize(
    ("of", "products"),
    [
        (cube, 0),
        (lambda x: cube(x) + grad(cube)(x).square().sum().detach(), 0),  # differentiated no further
        (lambda x: grad(cube)(x).square().sum(), 1),
        (lambda x: vmap(grad(lambda z: z**3))(x).sum(), 1),  # sample by sample: one pass
        (several, 1),
        (lambda x: grad(lambda y: grad(cube)(y).square().sum())(x).sum(), 2),
        (lambda x: jvp(cube, (x,), (x,))[1] + jvp(cube, (x,), (2 * x,))[1], 2),
        (lambda x: jacrev(lambda x: x[:3] ** 3)(x).sum(), 3),
        (lambda x: jacfwd(lambda x: x**3)(x).sum(), 4),
        (lambda x: hessian(cube)(x).sum(), 1 + 4),
    ],
)
def test_any_derivative_in_a_loss_is_a_product_of_the_player_who_pays_it(of, products):
    A = random_matrix((2, 2), 3)
    game = regularized(matrix_game(A, (2, 2)), Penalty(of), make("l2", player="p1"))
    for members in (None, 3):
        assert spent(game, simgd(), members=members)[0] == (1, products, 0)
    table, params, batch = started(game)
    local = LocalGame.of(table, params, batch)
    for player, own in (("p0", products), ("p1", 0)):
        table.cost.spent = 0, 0, 0
        local.only((player,)).gradient()
        assert table.cost.spent == (0.5, own, 0)
        table.cost.spent = 0, 0, 0
        local.jacobian().block(player, "p0").mv({"p0": params["p0"]})
        assert table.cost.spent == (0, 1 + own, 0)


def test_what_is_declared_adds_up_through_wrappers():
    @dataclass(frozen=True)
    class Dear(Penalty):
        work = (2, 5)

    game = matrix_game(random_matrix((2, 2), 3), (2, 2))
    once = Penalty(lambda x: grad(cube)(x).square().sum())
    for regularizers, cost in [
        ([Dear(cube)], (3, 5, 0)),
        ([Dear(cube), Dear(cube)], (5, 10, 0)),
        ([once, Dear(cube), once, make("l2", player="p1")], (3, 7, 0)),
        ([make("l2", player="p1"), once, once], (1, 2, 0)),
    ]:
        assert spent(regularized(game, *regularizers), simgd())[0] == cost


def test_alternating_moves_are_counted_by_the_player(tmp_path):
    """With the same number of moves alternating and simultaneous play cost the same; sums are the same in any order."""
    game = matrix_game(random_matrix((1, 2, 1), 3), (1, 2, 1))
    once, twice = (cp.make("solver", "altgd", repeats=r) for r in (1, {"p0": 2, "p1": 1, "p2": 1}))
    assert spent(game, once)[0] == spent(game, simgd())[0] == (1, 0, 0)
    assert spent(game, twice)[0] == (4 / 3, 0, 0)
    for compiled in (False, True):
        cp.run(game, twice, steps=50, compile=compiled, out=tmp_path / str(compiled))
        counted = cp.open_log(tmp_path / str(compiled))["step/gradients"]
        assert counted.tolist() == [4 * k // 3 for k in range(1, 51)] + [200 // 3]


def test_looking_costs_nothing_and_evaluates_once():
    """What the losses hold is looked for once in the life of a game."""
    count = [0]

    def of(x):
        count[0] += 1
        return cube(x)

    game = regularized(matrix_game(random_matrix((2, 2), 3), (2, 2)), Penalty(of))
    _, params, batch = started(game)
    state = torch.get_rng_state()
    field_cost(game, lambda: (params, batch))
    assert count == [1] and torch.equal(state, torch.get_rng_state())
    LocalGame.of(game, params, batch).gradient()
    assert count == [2]


# --------------------------------------------------------------------------------------------------------- samples


def test_samples_are_counted_whatever_the_data_are_called():
    rng = generator()
    noise = lambda rng: {"x": [torch.randn((), generator=rng), torch.randn(5, 2, generator=rng)]}  # noqa: E731
    losses = lambda p, b: {"a": (p["a"]["w"] * b["x"][1].mean()).square().sum()}  # noqa: E731
    mine = cp.game_from_losses(losses, {"a": {"w": random(3)}}, noise)
    for members in (None, 2):
        table = started(mine, members=members)[0]
        assert table.cost.samples == 5
        table.draw([rng] * (members or 1), {})
        assert table.cost.samples == 10
    assert started(SmoothGan())[0].cost.samples == 4
    assert started(QUADRATIC)[0].cost.samples == 0

    @dataclass(frozen=True)
    class Noisy(cp.Regularizer):
        def sample(self, game, rng, batch):
            return {**batch, "noise": torch.randn(7, generator=rng)}

    assert started(regularized(QUADRATIC, Noisy()))[0].cost.samples == 0  # no data
    assert started(regularized(SmoothGan(), Noisy()))[0].cost.samples == 4

    class Says(SmoothGan):
        def samples(self, drawn):
            return 2 * len(drawn["real"])

    assert started(regularized(Says(), make("r1")))[0].cost.samples == 8


# --------------------------------------------------------------------------------------------------------- seconds


@pytest.mark.parametrize("compiled", [False, True])
def test_the_time_of_the_solver_and_that_of_looking_on_are_apart(tmp_path, compiled, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    steps = []

    class Slow(type(QUADRATIC)):
        def refresh(self, params, buffers):
            return buffers

        def losses(self, params, batch):
            clock[0] += 0 if compiled else 1.0
            return super().losses(params, batch)

    def look(seen):
        steps.append(seen.step)
        clock[0] += 100.0

    cp.run(Slow(), simgd({"x": 0.09, "y": 0.01}), steps=4, observers=[look], out=tmp_path / "r",
                    compile=compiled, checkpoint_every=2, stop=lambda: len(steps) == 3)  # fmt: skip
    log = cp.open_log(tmp_path / "r")
    noted = 0.0 if compiled else 1.0  # the checkpoint of step 2 notes the losses: not the solver's time
    assert np.diff(log["step/measuring_seconds"]).tolist() == [100.0, 100.0 + noted]
    if not compiled:
        assert (np.diff(log["step/solver_seconds"]) == 1.0).all()
    cp.resume(tmp_path / "r", game=Slow(), observers=[look], allow_inexact=True)
    log = cp.open_log(tmp_path / "r")
    assert np.diff(log["step/measuring_seconds"][:4]).tolist() == [100.0, 100.0 + noted, 100.0]
    total = log["step/solver_seconds"] + log["step/measuring_seconds"]
    assert (total <= log["step/wall_seconds"]).all()
    cost = summarize(log)["cost"]
    assert cost["solver_seconds"] == log["step/solver_seconds"][-1] and cost["measuring_seconds"] >= 300
    assert plot("losses", log, against="seconds").axes[0].lines
