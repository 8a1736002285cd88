"""The update map of every solver against differences of its own step, memory included.

The step that is differenced is the one a run takes: iterative where it iterates, torch's fused kernel where Adam uses
it. So this also compares what is differentiated with what is played.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.options import options_of
from counterplay.core.registry.registry import entries

from ..support.arenas import arena
from ..support.cases import F64, close, generator, random, started

TOL = 2e-8  # five points
NO_DERIVATIVE = {"best-response"}  # the best point of a grid: where a step changes with the state, it jumps
OPTIONS: dict[str, dict[str, Any]] = {
    "conopt": {"gamma": 0.3},
    "jare": {"gamma": 0.3},
    "reg-generator-only": {"gamma": 0.3},
    "reg-discriminator-only": {"gamma": 0.3},
    "acgd": {"eps": 0.1, "beta2": 0.7, "warm_start": True},
    "cgd": {"warm_start": True},
    "implicit-euler": {"tol": 1e-14},
    "sos": {"a": 0.05, "opponent_lr": 0.5},  # p = p1 < 1
    "unrolled": {"k": 2},
    "lookahead-minmax": {"k": 3},
}
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd"},
    "momentum": {"name": "momentum", "beta": -0.3, "nesterov": True},
    "rmsprop": {"name": "rmsprop", "eps": 0.1, "alpha": 0.7},
    "adam": {"name": "adam", "betas": [0.6, 0.8], "eps": 0.1},
    "adamw": {"name": "adamw", "betas": [0.6, 0.8], "eps": 0.1, "weight_decay": 0.2},
}
GAMES = {
    "three players, general-sum": lambda: arena((2, 1, 2), 5, curvature=2.0, bend=0.7).game,
    "two players, zero-sum": lambda: arena((2, 3), 6, opposed=True, curvature=2.0, bend=0.7).game,
    "a GAN": lambda: cp.make("game", "affine-gaussian", loss="non-saturating", batch=7, mean=1.0, radius=1.0),
}
SOLVERS = [e.name for e in entries("solver") if e.name not in NO_DERIVATIVE]
RULED = [e.name for e in entries("solver") if "rule" in {o.name for o in options_of(e.factory)}]


def played(name: str, rule: str, game: cp.Game) -> tuple[Evaluator, cp.Solver, tuple[Any, Any], Any]:
    """A solver after three steps, when no memory of it is zero, and the batch of the next one."""
    options = {"lr": 0.1, **OPTIONS.get(name, {})}
    if name == "altgd":
        options["repeats"] = {game.players[-1]: 2}
    if name == "lookahead-minmax":
        options |= {"lr": None, "solver": {"name": "ogda", "lr": 0.1, "rule": RULES[rule]}}
    elif name in RULED:
        options["rule"] = RULES[rule]
    solver = cp.make("solver", name, **options)
    table, params, batch = started(game)
    memory = solver.init(table, params)
    for _ in range(3):
        params, memory, _ = solver.step(table, params, memory, lambda: batch)
    return table, solver, (params, memory), batch


def differences(table: Evaluator, solver: cp.Solver, state: tuple[Any, Any], batch: Any, u: Tensor, h: float) -> Tensor:
    """The derivative along u, (S,), of the numbers of (theta, memory) after one period, by five points."""
    leaves, structure = tree_flatten(state)
    moving = [x for x in leaves if x.is_floating_point()]

    def after(s: float) -> Tensor:
        parts = iter(u.split([x.numel() for x in moving]))
        theta, memory = tree_unflatten(
            [x + s * next(parts).reshape(x.shape) if x.is_floating_point() else x for x in leaves], structure
        )
        with torch.no_grad():
            for _ in range(solver.period):
                theta, memory, _ = solver.step(table, theta, memory, lambda: batch)
        return torch.cat([x.flatten() for x in tree_flatten((theta, memory))[0] if x.is_floating_point()])

    return (8 * (after(h) - after(-h)) - (after(2 * h) - after(-2 * h))) / (12 * h)


def compare(name: str, rule: str, game: str, directions: int | None) -> Tensor:
    """F' along some random directions of the state, or along all of its numbers; returns F'."""
    table, solver, state, batch = played(name, rule, GAMES[game]())
    F = cp.update_jacobian(table.game, solver, *state, batch)
    units = torch.cat([size(x, 0.0) for x in tree_flatten(state[0])[0]] + [size(x) for x in tree_flatten(state[1])[0]])
    assert F.shape == (len(units), len(units))
    along = torch.eye(len(units), dtype=F64) if directions is None else random(len(units), directions, seed=1)
    for u in along.T:
        u = units * u / u.norm()
        close(F @ u, differences(table, solver, state, batch, u, 1e-4), TOL)
    return F


def size(x: Tensor, known: float = 1.0) -> Tensor:
    """How far each number may be moved: a second moment by a part of its own, for its root is steep near 0."""
    x = known * x.flatten().abs() if x.is_floating_point() else torch.zeros(0, dtype=F64)
    return torch.where(x > 0, x, torch.ones_like(x))


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_s_map_against_differences(name: str) -> None:
    """Three players, general-sum, under rmsprop where the solver takes a rule: theta, the rule's memory, its own."""
    F = compare(name, "rmsprop", "three players, general-sum", 2)
    assert len(F) >= (5 if name == "implicit-euler" else 10), "memory has a part in it"


@pytest.mark.slow
@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(
    ("name", "rule"), [(n, r) for n in SOLVERS for r in (RULES if n in RULED or n == "lookahead-minmax" else ["sgd"])]
)
def test_every_solver_s_map_under_every_rule(name: str, rule: str, game: str) -> None:
    """Column by column: every number of the state."""
    compare(name, rule, game, None)


def test_best_response_has_no_derivative() -> None:
    """It is left out above for this: moved a little, a state makes the same move or another point's."""
    game = cp.make("game", "exponential")
    solver = cp.make("solver", "best-response", points=11)
    params = game.init(generator())
    assert torch.equal(cp.update_jacobian(game, solver, params), torch.eye(2, dtype=F64)), "constant but for jumps"
