"""Who sees whom: alternating play with repeats, extragradient, and how often each draws."""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import ravel

from ..support.cases import (
    F64,
    SmoothGan,
    close,
    close_trees,
    generator,
    identical,
    matrix_game,
    one_step,
    random,
    random_matrix,
    started,
)


def counting(game, seed=0):
    """``draw`` for a game, and the list of what it gave."""
    rng, drawn = generator(seed), []

    def draw():
        drawn.append(game.sample(rng, {}))
        return drawn[-1]

    return draw, drawn


def gradients(game, params, batch):
    own = {i: {k: x.clone().requires_grad_() for k, x in t.items()} for i, t in params.items()}
    losses = game.losses(own, batch)
    out = {}
    for i in game.players:
        g = torch.autograd.grad(losses[i], list(own[i].values()), retain_graph=True, allow_unused=True)
        out[i] = {k: torch.zeros_like(x) if y is None else y for (k, x), y in zip(own[i].items(), g, strict=True)}
    return out


def moved(tree, g, lr):
    return {k: tree[k] - lr * g[k] for k in tree}


def test_each_player_sees_those_who_moved_before_and_a_batch_of_its_own():
    game = SmoothGan()
    params = game.init(generator())
    draw, drawn = counting(game)
    solver = cp.make("solver", "altgd", lr=0.1)
    found, _, info = solver.step(game, params, solver.init(game, params), draw)
    assert len(drawn) == 2
    first = {**params, "generator": moved(params["generator"], gradients(game, params, drawn[0])["generator"], 0.1)}
    g = gradients(game, first, drawn[1])["discriminator"]
    expected = {**first, "discriminator": moved(first["discriminator"], g, 0.1)}
    close_trees(found, expected)
    close_trees({"d": info.gradient["discriminator"]}, {"d": g})
    close(info.losses["generator"], game.losses(params, drawn[0])["generator"])
    close(info.losses["discriminator"], game.losses(first, drawn[1])["discriminator"])


def test_repeats_are_moves_of_one_player_in_a_row():
    """Reported are the losses and gradients at each player's first move."""
    game = SmoothGan()
    params = game.init(generator())
    draw, drawn = counting(game)
    solver = cp.make("solver", "altgd", lr=0.1, repeats={"discriminator": 3})
    found, _, info = solver.step(game, params, solver.init(game, params), draw)
    assert len(drawn) == 4
    expected = {**params, "generator": moved(params["generator"], gradients(game, params, drawn[0])["generator"], 0.1)}
    close(info.losses["discriminator"], game.losses(expected, drawn[1])["discriminator"])
    for batch in drawn[1:]:
        g = gradients(game, expected, batch)["discriminator"]
        expected = {**expected, "discriminator": moved(expected["discriminator"], g, 0.1)}
    close_trees(found, expected)


def test_a_number_of_repeats_is_for_everyone():
    game = matrix_game(random_matrix((1, 2), 1), (1, 2))
    params = game.init(generator())
    per_player = cp.make("solver", "altgd", lr=0.1, repeats={"p0": 2, "p1": 2})
    found = one_step(game, cp.make("solver", "altgd", lr=0.1, repeats=2), params)
    assert identical(found, one_step(game, per_player, params))
    assert not torch.allclose(ravel(found), ravel(one_step(game, cp.make("solver", "altgd", lr=0.1), params)))


@pytest.mark.parametrize("repeats", [0, -1, 1.5, {"x": 0}])
def test_repeats_are_whole_numbers(repeats):
    with pytest.raises(cp.UsageError):
        cp.make("solver", "altgd", repeats=repeats)


def test_repeats_of_someone_who_does_not_play():
    with pytest.raises(cp.UsageError, match="critic"):
        cp.run(cp.make("game", "quadratic"), cp.make("solver", "altgd", repeats={"critic": 5}), steps=1)


def test_a_player_s_rule_remembers_its_own_moves_only():
    """Momentum of repeats: three moves of y after one of x."""
    game = matrix_game(random_matrix((1, 1), 2))
    solver = cp.make("solver", "altgd", rule="adam", repeats={"p1": 3})
    memory = cp.run(game, solver, steps=2).memory["rule"]
    assert int(memory["p0"]["t"]) == 2 and int(memory["p1"]["t"]) == 6


# ------------------------------------------------------------------------------------------------------ extragradient


def test_extragradient_on_an_affine_game_is_its_formula():
    A, c = random_matrix((2, 3), 3), random(5, seed=4)
    game = matrix_game(A, (2, 3), shift=c)
    params = game.init(generator())
    theta, eta = ravel(params), 0.07
    v = lambda x: A @ x + c  # noqa: E731
    close(
        ravel(one_step(game, cp.make("solver", "extragradient", lr=eta), params)),
        theta - eta * v(theta - eta * v(theta)),
    )


def test_extragradient_draws_once_and_reports_where_it_stood():
    game = SmoothGan()
    params = game.init(generator())
    draw, drawn = counting(game)
    solver = cp.make("solver", "extragradient", lr=0.1)
    found, _, info = solver.step(game, params, solver.init(game, params), draw)
    assert len(drawn) == 1
    v = gradients(game, params, drawn[0])
    ahead = {i: moved(params[i], v[i], 0.1) for i in params}
    w = gradients(game, ahead, drawn[0])
    close_trees(found, {i: moved(params[i], w[i], 0.1) for i in params})
    close_trees(info.gradient, v)
    close(info.losses["generator"], game.losses(params, drawn[0])["generator"])


def test_extra_adam_advances_its_moments_on_both_half_steps():
    """Gidel et al. 2019, Alg. 4, with torch.optim.Adam: the second step is taken from where one stood."""
    A = random_matrix((2, 1), 5)
    game = matrix_game(A, (2, 1))
    solver = cp.make("solver", "extragradient", lr=0.05, rule={"name": "adam", "betas": [0.5, 0.9]})
    result = cp.run(game, solver, steps=4)
    x = ravel(game.init(generator())).clone().requires_grad_()
    optim = torch.optim.Adam([x], 0.05, betas=(0.5, 0.9))
    for _ in range(4):
        stood = x.detach().clone()
        x.grad = A @ x.detach()
        optim.step()
        x.grad = A @ x.detach()
        with torch.no_grad():
            x.copy_(stood)
        optim.step()
    close(ravel(result.params), x.detach())
    assert int(result.memory["rule"]["p0"]["t"]) == 8


def test_simultaneous_play_draws_once():
    game = SmoothGan()
    params = game.init(generator())
    for name in ("simgd", "conopt", "jare", "cgd", "acgd"):
        draw, drawn = counting(game)
        solver = cp.make("solver", name)
        solver.step(game, params, solver.init(game, params), draw)
        assert len(drawn) == 1, name


def test_simultaneous_and_alternating_play_differ():
    _, params, _ = started(cp.make("game", "bilinear"))
    x, y, eta = float(params["x"]["value"]), float(params["y"]["value"]), 0.5
    together = one_step(cp.make("game", "bilinear"), cp.make("solver", "simgd", lr=eta), params)
    in_turn = one_step(cp.make("game", "bilinear"), cp.make("solver", "altgd", lr=eta), params)
    close(ravel(together), torch.tensor([x - eta * y, y + eta * x], dtype=F64))
    close(ravel(in_turn), torch.tensor([x - eta * y, y + eta * (x - eta * y)], dtype=F64))
