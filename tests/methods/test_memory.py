"""Methods that remember: optimism and past extragradient, step by step."""

from __future__ import annotations

import torch

import counterplay as cp
from counterplay.core.derivatives.evaluator import Evaluator
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel, unravel

from ..support.arenas import arena, every_game
from ..support.cases import close


@every_game
def test_ogda_and_past_extragradient_over_several_steps(sizes, opposed):
    a = arena(sizes, 7, opposed)
    lr = [0.02 * (n + 1) for n in range(len(sizes))]
    eta = a.rows(lr)
    optimistic, past = a.theta, a.theta
    last = seen = torch.zeros_like(a.theta)
    ogda, peg = (cp.make("solver", name, lr=a.named(lr)) for name in ("ogda", "past-extragradient"))
    for k in range(1, 5):
        v = a.v(optimistic)
        optimistic, last = optimistic - eta * (2 * v - last), v
        seen = a.v(past - eta * seen)
        past = past - eta * seen
        close(ravel(cp.run(a.game, ogda, steps=k, start=a.params).params), optimistic)
        result = cp.run(a.game, peg, steps=k, start=a.params)
        close(ravel(result.params), past)
        close(ravel(result.memory["direction"]["v"]), seen)
        close(past - eta * seen, optimistic)  # its next look-ahead point is ogda's point


def test_past_extragradient_takes_one_gradient_a_step_and_a_rule_s_moments_two_moves():
    """Gidel et al., Alg. 4: both moves advance m."""
    a, beta, eta = arena((2, 2), 8), 0.5, 0.1
    table = Evaluator(a.game)
    solver = cp.make("solver", "past-extragradient", lr=eta, rule={"name": "momentum", "beta": beta})
    params, memory, x = a.params, solver.init(table, a.params), a.theta
    m = seen = torch.zeros_like(x)
    for _ in range(3):
        params, memory, _ = solver.step(table, params, memory, lambda: {})
        m = beta * m + seen
        seen = a.v(x - eta * m)
        m = beta * m + seen
        x = x - eta * m
        close(ravel(params), x)
    assert table.cost.gradients == 3


def test_optimistic_adam_is_algorithm_one_of_daskalakis_et_al():
    """Moments of the gradient alone; a step twice Adam's, less Adam's last."""
    game, lr, (b1, b2), eps = cp.make("game", "random-polynomial", seed=2), 0.03, (0.5, 0.9), 1e-8
    params = game.init(torch.Generator().manual_seed(0))
    x = ravel(params)
    m = s = last = torch.zeros_like(x)
    for t in range(1, 6):
        v = ravel(LocalGame.of(game, unravel(x, params), {}).gradient())
        m, s = b1 * m + (1 - b1) * v, b2 * s + (1 - b2) * v**2
        step = (m / (1 - b1**t)) / ((s / (1 - b2**t)).sqrt() + eps)
        x, last = x - 2 * lr * step + lr * last, step
    solver = cp.make("solver", "ogda", lr=lr, rule={"name": "adam", "betas": (b1, b2), "eps": eps})
    close(ravel(cp.run(game, solver, steps=5, start=params).params), x)
