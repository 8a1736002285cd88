"""Second and third derivatives against finite differences, for one game and for an ensemble.

The game has convolutions and our normalisation layer; torch's own layer gives wrong numbers here.
"""

from __future__ import annotations

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.normalization import normalize
from counterplay.core.game.regularizer import regularized
from counterplay.core.game.tree import ravel

from ..support.cases import SmoothGan, close, difference, direction_like, random, started

TOL = 2e-8  # five points with h = 1e-3
REGULARIZERS: dict[str, list[tuple[str, dict[str, float]]]] = {
    "plain": [],
    "r1": [("r1", {"gamma": 2.0})],
    "gradient-penalty": [("gradient-penalty", {"weight": 3.0})],
    "spectral-norm": [("spectral-norm", {})],
    "consensus": [("consensus", {"gamma": 0.3})],
    "r1 on spectral-norm": [("spectral-norm", {}), ("r1", {"gamma": 2.0})],
}


def game_with(name, loss="non-saturating"):
    return regularized(
        SmoothGan(cp.make("loss", loss), batch=3), *(cp.make("regularizer", n, **o) for n, o in REGULARIZERS[name])
    )


@pytest.mark.parametrize("members", [None, 2], ids=["single", "ensemble"])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_v_and_J_against_differences(name, members):
    """v of the losses, J u of v: with a penalty on D's slope, or consensus, J is a third derivative."""
    table, params, batch = started(game_with(name), members=members)
    u, w = direction_like(params, 1), direction_like(params, 2)
    local = LocalGame.of(table, params, batch)
    J, many = local.jacobian(), members is not None
    Ju = ravel(J.mv(u), many)
    close(Ju, difference(lambda p: ravel(local.at(p).gradient(), many), params, u), TOL)
    close(local.dot(J.mv(u), w), local.dot(u, J.rmv(w)), 1e-10)
    for i in table.players:
        only = {**{j: {k: 0 * x for k, x in t.items()} for j, t in params.items()}, i: u[i]}
        slope = difference(lambda p, i=i: table.losses(p, batch)[i], params, only)
        close(local.dot(local.gradient(), only), slope, TOL)
    assert float(Ju.abs().max()) > 1e-3, "not the zero matrix"


@pytest.mark.parametrize("loss", ["saturating", "non-saturating"])
@pytest.mark.parametrize(
    ("solver", "options"), [("conopt", {"gamma": 0.4}), ("jare", {"gamma": 0.4}), ("extragradient", {}), ("altgd", {})]
)
def test_the_update_map_s_derivative_against_differences(solver, options, loss):
    """F' of conopt and jare holds third derivatives of the losses."""
    game = game_with("plain", loss)
    _, params, batch = started(game)
    method = cp.make("solver", solver, lr=0.2, **options)
    F = cp.update_jacobian(game, method, params, batch=batch)
    for seed in (3, 4):
        u = direction_like(params, seed)
        step = lambda p: ravel(method.step(game, p, method.init(game, p), lambda: batch)[0])  # noqa: E731
        close(F @ ravel(u), difference(step, params, u, h=4e-4), TOL)


@pytest.mark.parametrize("members", [None, 2], ids=["single", "ensemble"])
@pytest.mark.parametrize("name", ["conopt", "jare"])
def test_the_direction_itself_can_be_differentiated(name, members):
    """Forward through a step of an ensemble: the derivative of v + gamma J^T v along u, by vjp of vjp."""
    table, params, batch = started(game_with("plain"), members=members)
    solver = cp.make("solver", name, gamma=0.4)
    u, w, many = direction_like(params, 5), direction_like(params, 6), members is not None
    at = lambda p: solver.direction(LocalGame.of(table, p, batch))  # noqa: E731
    _, pull = torch.func.vjp(at, params)
    slope = difference(lambda p: ravel(at(p), many), params, u)
    close(torch.sum(ravel(pull(w)[0], many) * ravel(u, many)), torch.sum(slope * ravel(w, many)), TOL)


def test_a_parameter_that_only_moves_a_normalised_layer_has_no_gradient():
    """A bias before a normalisation over the batch is taken away again: a zero that must not be noise."""
    table, params, batch = started(game_with("plain"))
    v = LocalGame.of(table, params, batch).gradient()
    assert float(v["generator"]["0.bias"].abs().max()) < 1e-12 < 1e-6 < float(v["generator"]["0.weight"].abs().max())


# ------------------------------------------------------------------------------------------------------ normalisation


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6, 3, 4, 4)])
@pytest.mark.parametrize("affine", [True, False])
def test_normalisation_is_torch_s_in_value(shape, affine):
    x = random(*shape, seed=1)
    weight, bias = (random(3, seed=2), random(3, seed=3)) if affine else (None, None)
    close(normalize(x, weight, bias), torch.nn.functional.batch_norm(x, None, None, weight, bias, True))
    if len(shape) > 2:
        close(
            normalize(x, weight, bias, per_sample=True), torch.nn.functional.instance_norm(x, None, None, weight, bias)
        )


def test_normalisation_has_right_third_derivatives():
    x, weight, bias = random(4, 2, 3, seed=4), random(2, seed=5), random(2, seed=6)
    u = {"x": {"value": random(4, 2, 3, seed=7)}}

    def twice(p):
        f = lambda x: normalize(x, weight, bias).pow(3).sum()  # noqa: E731
        return torch.func.grad(lambda x: torch.func.grad(f)(x).square().sum())(p["x"]["value"])

    at = {"x": {"value": x}}
    _, pull = torch.func.vjp(twice, at)
    w = random(4, 2, 3, seed=8)
    close((pull(w)[0]["x"]["value"] * u["x"]["value"]).sum(), (difference(twice, at, u) * w).sum(), 1e-7)
