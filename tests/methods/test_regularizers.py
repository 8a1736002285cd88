"""Regularisers against their definitions, alone and several at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import RegularizedGan, regularized
from counterplay.core.game.tree import ravel
from counterplay.core.images.random_images import RandomImages
from counterplay.games.networks.layers import Dropout, Linear, flatten, reshape, tanh
from counterplay.games.networks.sequential import Sequential
from counterplay.plugins.regularizers.gradient_penalty import MIX, lengths

from ..support.cases import F64, QUADRATIC, SmoothGan, close, direction_like, generator, identical, random, started
from ..support.regularized import make, penalty, under
from ..support.tanh_gan import TanhGan


def slopes(game, params, x):
    """|grad_x D| of each sample by plain autograd."""
    out = []
    for one in x:
        own = one.clone().requires_grad_()
        (g,) = torch.autograd.grad(game.discriminate(params["discriminator"], own[None], {})[0], own)
        out.append(g.norm())
    return torch.stack(out)


def test_l2_has_no_half_and_is_one_player_s():
    game = TanhGan()
    _, params, batch = started(game)
    found = penalty(game, make("l2", weight=0.1), params, batch)
    expected = 0.1 * sum(float((x * x).sum()) for x in params["discriminator"].values())
    assert found == pytest.approx({"generator": 0, "discriminator": expected})
    found = penalty(game, make("l2", weight=0.1, player="generator"), params, batch)
    assert found["discriminator"] == 0 and found["generator"] > 0


def test_r1_is_half_gamma_times_the_squared_slope_on_real_samples():
    game = TanhGan()
    _, params, batch = started(game)
    found = penalty(game, make("r1", gamma=3.0), params, batch)
    expected = 1.5 * float((slopes(game, params, batch["real"]) ** 2).mean())
    assert found == pytest.approx({"generator": 0, "discriminator": expected})


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_lengths_have_derivatives_however_short_a_row_is(dtype):
    """grad ||g|| = u = g / ||g||, and its Jacobian (I - u u^T) / ||g||; 0 where g = 0."""
    scales = torch.tensor([1e-35, 1e-25, 1e-13, 1.0, 1e25], dtype=dtype)
    unit = torch.nn.functional.normalize(random(5, 3)).to(dtype)
    g = torch.cat([scales[:, None] * unit, torch.zeros(1, 3, dtype=dtype)])
    assert torch.allclose(lengths(g)[:5] / scales, torch.ones(5, dtype=dtype), rtol=1e-6)
    slope = torch.func.grad(lambda g: lengths(g).sum())
    assert torch.allclose(slope(g)[:5], unit, rtol=1e-5, atol=1e-7)
    u = random(3, seed=1).to(dtype)
    (turned,) = torch.func.jvp(slope, (g,), (torch.cat([scales[:, None] * u, torch.ones(1, 3).to(dtype)]),))[1:]
    assert torch.allclose(turned[:5], u - (unit @ u)[:, None] * unit, rtol=1e-4, atol=1e-6)
    assert not slope(g)[5].any() and not turned[5].any() and lengths(g)[5] == 0


@dataclass(frozen=True)
class Dropping(cp.Network):
    """Half of the hidden units of the discriminator drop out."""

    latent: int = 2

    def generator(self, shape, inputs):
        return Sequential((Linear(inputs, 4), tanh, reshape(*shape)))

    def discriminator(self, shape):
        return Sequential((flatten, Linear(4, 3), Dropout(0.5), Linear(3, 1)), input_shape=shape)


@pytest.mark.parametrize("name", ["gradient-penalty", "zero-centred", "r1", "r2"])
@pytest.mark.parametrize("zero", ["sample", "weights"])
def test_where_the_slope_is_exactly_zero_j_is_that_of_autograd(name, zero):
    """All units of one sample drop out, or the discriminator is 0 everywhere. Here D(x) = s . x, s of each sample."""
    game = cp.make("game", "images", data=RandomImages((1, 2, 2), 6), network=Dropping(), batch=3, loss="wgan")
    table, params, batch = started(regularized(game, make(name, **({} if "grad" in name else {"gamma": 10.0}))))
    (mask,) = batch["dropout"]
    if zero == "sample":
        batch = {**batch, "dropout": (torch.cat([torch.zeros(1, 3, dtype=F64), 2 + 0 * mask[1:]]),)}
    else:
        params = {**params, "discriminator": {k: 0 * x for k, x in params["discriminator"].items()}}
    own = {i: {k: x.detach().requires_grad_() for k, x in tree.items()} for i, tree in params.items()}
    G, D, (mask,) = own["generator"], own["discriminator"], batch["dropout"]
    s = (D["3.weight"] * mask) @ D["1.weight"]  # (B, 4)
    said = lambda x: (s * x).sum(1) + (mask * D["1.bias"]) @ D["3.weight"][0] + D["3.bias"]  # noqa: E731
    d_real, d_fake = said(batch["real"].flatten(1)), said((batch["noise"] @ G["0.weight"].T + G["0.bias"]).tanh())
    square = s.square().sum(1)
    norm = torch.stack([x.sqrt() if x > 0 else x * 0 for x in square])
    term = 10 * (norm - 1).square().mean() if name == "gradient-penalty" else 5 * square.mean()
    losses = {"generator": -d_fake.mean(), "discriminator": d_fake.mean() - d_real.mean() + term}
    v = [g.flatten() for i in own for g in torch.autograd.grad(losses[i], [*own[i].values()], create_graph=True)]
    every = [x for tree in own.values() for x in tree.values()]
    rows = [torch.autograd.grad(g, every, retain_graph=True, materialize_grads=True) for g in torch.cat(v)]
    J = torch.stack([torch.cat([x.flatten() for x in row]) for row in rows])
    found, u = LocalGame.of(table, params, batch).jacobian(), direction_like(params, 1)
    close(ravel(found.mv(u)), J @ ravel(u), 1e-11)
    close(ravel(found.rmv(u)), J.T @ ravel(u), 1e-11)


def test_gradient_penalty_is_on_interpolates():
    game = TanhGan()
    regularizer = make("gradient-penalty", weight=2.0)
    _, params, batch = started(regularized(game, regularizer))
    assert (
        batch[MIX].shape == (5,) and ((batch[MIX] >= 0) & (batch[MIX] <= 1)).all() and batch[MIX].unique().numel() == 5
    )
    fake = game.generate(params["generator"], batch["noise"], batch)
    x = batch[MIX][:, None] * batch["real"] + (1 - batch[MIX][:, None]) * fake
    found = penalty(game, regularizer, params, batch)
    assert found == pytest.approx(
        {"generator": 0, "discriminator": 2 * float(((slopes(game, params, x) - 1) ** 2).mean())}
    )


def test_gradient_penalty_has_a_derivative_where_the_slope_is_zero():
    game = TanhGan()
    table, params, batch = started(regularized(game, make("gradient-penalty")))
    params["discriminator"]["W"] = torch.zeros(4, 3, dtype=F64)
    local = LocalGame.of(table, params, batch)
    assert torch.isfinite(ravel(local.gradient())).all() and torch.isfinite(local.jacobian().dense()).all()
    assert float(local.losses()["discriminator"] - game.losses(params, batch)["discriminator"]) == pytest.approx(10.0)


def test_consensus_is_half_the_squared_gradient_for_everyone():
    _, params, _ = started(QUADRATIC)
    x, y = (float(params[i]["value"]) for i in "xy")
    v = (2 * x + 10 * y) ** 2 + (10 * x + 2 * y) ** 2
    assert penalty(QUADRATIC, make("consensus", gamma=0.5), params, {}) == pytest.approx({"x": v / 4, "y": v / 4})


def test_spectral_norm_is_one_power_iteration_a_step():
    game = TanhGan()
    regularizer = make("spectral-norm")
    both = regularized(game, regularizer)
    params, buffers = both.init(generator()), both.buffers(generator(1))
    W, u = params["discriminator"]["W"], buffers["spectral_norm/discriminator/W/u"]
    assert set(buffers) == {f"spectral_norm/discriminator/W/{side}" for side in "uv"}, "vectors are left alone"
    assert float(u.norm()) == pytest.approx(1)
    after = both.refresh(params, buffers)
    v = W.T @ u / (W.T @ u).norm()
    close(after["spectral_norm/discriminator/W/v"], v)
    close(after["spectral_norm/discriminator/W/u"], W @ v / (W @ v).norm())
    five = regularized(game, make("spectral-norm", iterations=5)).refresh(params, buffers)
    for _ in range(4):
        after = both.refresh(params, after)
    assert identical(after, five)


def test_spectral_norm_divides_by_the_largest_singular_value():
    for game, names in ((TanhGan(), ["W"]), (SmoothGan(), ["0.weight", "4.weight"])):
        both = under(game, make("spectral-norm", iterations=300))
        params, buffers = both.init(generator()), both.buffers(generator(1))
        batch = both.sample(generator(2), both.refresh(params, buffers))
        own = both.reparametrised(params, batch)
        for k, x in own["discriminator"].items():
            W = params["discriminator"][k]
            if k in names:
                s = torch.linalg.matrix_norm(W.reshape(W.shape[0], -1), 2)
                close(x, W / s, 1e-8)
            else:
                assert torch.equal(x, W)
        assert identical(own["generator"], params["generator"])
        whole = {**params, "discriminator": own["discriminator"]}
        assert identical(both.losses(params, batch), game.losses(whole, batch))


def test_spectral_norm_uses_its_buffers_frozen():
    """W / (u^T W v) with both vectors given, also away from the W that they were renewed at: not W / sigma(W), nor with
    one of the vectors computed again, which is another function with another Jacobian."""
    game = TanhGan()
    both = under(game, make("spectral-norm"))
    params, buffers = both.init(generator()), both.refresh(both.init(generator()), both.buffers(generator(1)))
    batch = both.sample(generator(2), buffers)
    u, v = (batch[f"spectral_norm/discriminator/W/{side}"] for side in "uv")
    W = params["discriminator"]["W"] + 0.1 * random(4, 3, seed=3)

    def divided(W):
        discriminator = {**params["discriminator"], "W": W}
        return both.reparametrised({**params, "discriminator": discriminator}, batch)["discriminator"]["W"]

    s, eye = u @ W @ v, torch.einsum("ik,jl->ijkl", torch.eye(4, dtype=F64), torch.eye(3, dtype=F64))
    close(divided(W), W / s)
    close(torch.func.jacrev(divided)(W), eye / s - torch.einsum("ij,kl->ijkl", W, torch.outer(u, v)) / s**2)


def test_a_run_renews_the_vectors_before_each_step():
    """After many steps at rest u and v are the singular vectors."""
    game, regularizer = TanhGan(), make("spectral-norm")
    seen = []
    cp.run(
        game,
        cp.make("solver", "simgd", lr=0.0),
        steps=150,
        regularizers=[regularizer],
        observers=[lambda s: seen.append({k: x.clone() for k, x in s.batch.items()})],
        trace=False,
    )
    W = game.init(generator())["discriminator"]["W"]
    u, v = (seen[-1][f"spectral_norm/discriminator/W/{side}"] for side in "uv")
    assert float(u @ W @ v) == pytest.approx(float(torch.linalg.matrix_norm(W, 2)), rel=1e-6)
    assert not identical(seen[0], seen[1])


def test_of_another_player():
    game = TanhGan()
    both = under(game, make("spectral-norm", player="generator", iterations=100))
    _, params, batch = started(both)
    A = both.reparametrised(params, batch)["generator"]["A"]
    close(torch.linalg.matrix_norm(A, 2), torch.ones((), dtype=F64), 1e-6)


def test_r1_over_spectral_norm_sees_the_normalised_discriminator():
    game = TanhGan()
    sn, r1 = make("spectral-norm", iterations=200), make("r1", gamma=2.0)
    both = regularized(game, sn, r1)
    assert isinstance(both, RegularizedGan)
    _, params, batch = started(both)
    W = params["discriminator"]["W"]
    normal = {**params, "discriminator": {**params["discriminator"], "W": W / torch.linalg.matrix_norm(W, 2)}}
    found = both.losses(params, batch)["discriminator"] - regularized(game, sn).losses(params, batch)["discriminator"]
    close(found, (slopes(game, normal, batch["real"]) ** 2).mean(), 1e-8)
