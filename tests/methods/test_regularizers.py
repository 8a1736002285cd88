"""Regularisers against their definitions, alone and several at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import Regularized, RegularizedGan, regularized
from counterplay.core.game.tree import leaves, ravel, tmap
from counterplay.plugins.regularizers.gradient_penalty import MIX

from ..support.cases import F64, SmoothGan, close, close_trees, generator, identical, one_step, random, simgd, started
from ..support.tanh_gan import TanhGan

QUADRATIC = cp.make("game", "quadratic")


def make(name, **options):
    return cp.make("regularizer", name, **options)


def under(game, *regularizers):
    """The game under one regulariser or more, with what such a game has of its own."""
    both = regularized(game, *regularizers)
    assert isinstance(both, Regularized)
    return both


def penalty(game, regularizer, params, batch):
    """What it adds to each player's loss."""
    with_it, without = regularized(game, regularizer).losses(params, batch), game.losses(params, batch)
    return {i: float(with_it[i] - without[i]) for i in game.players}


def slopes(game, params, x):
    """|grad_x D| of each sample by plain autograd."""
    out = []
    for one in x:
        own = one.clone().requires_grad_()
        (g,) = torch.autograd.grad(game.discriminate(params["discriminator"], own[None], {})[0], own)
        out.append(g.norm())
    return torch.stack(out)


# ---------------------------------------------------------------------------------------------------------- penalties


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


# ------------------------------------------------------------------------------------------------------ spectral norm


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


def test_a_game_sees_and_renews_its_own_buffers_alone():
    """What a game does with all its buffers is not done to a regularizer's; what it leaves out stays."""

    @dataclass(frozen=True)
    class Counting(SmoothGan):
        def buffers(self, rng):
            return {"age": torch.zeros((), dtype=F64)}

        def sample(self, rng, buffers):
            if set(buffers) != {"age"}:
                raise ValueError(buffers)
            return {**super().sample(rng, buffers), **buffers}

        def refresh(self, params, buffers):
            return {name: x + 1 for name, x in buffers.items()}

    plain, both = (regularized(game, make("spectral-norm")) for game in (SmoothGan(), Counting()))
    params, rng = plain.init(generator()), generator(1)
    before = plain.buffers(generator(2))
    after = both.refresh(params, {"age": torch.zeros((), dtype=F64), **before})
    assert after.pop("age") == 1
    assert identical(after, plain.refresh(params, before))
    assert "spectral_norm/discriminator/0.weight/u" in both.sample(rng, both.buffers(generator(2)))
    result = cp.run(Counting(), simgd(0.1), steps=2, regularizers=[make("spectral-norm")], members=2)
    alone = cp.run(SmoothGan(), simgd(0.1), steps=2, regularizers=[make("spectral-norm")], members=2)
    assert identical(result.params, alone.params)


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


# ------------------------------------------------------------------------------------------------------------- several


def test_the_first_is_innermost():
    """l2 outside spectral-norm weighs the solver's weights; inside, the normalised ones."""
    game = TanhGan()
    sn, l2 = make("spectral-norm", iterations=200), make("l2", weight=0.1)
    for order, divided in (((sn, l2), False), ((l2, sn), True)):
        both = regularized(game, *order)
        _, params, batch = started(both)
        plain = regularized(game, sn).losses(params, batch)["discriminator"]
        W, b = params["discriminator"]["W"], params["discriminator"]["b"]
        if divided:
            W = W / torch.linalg.matrix_norm(W, 2)
        close(both.losses(params, batch)["discriminator"] - plain, 0.1 * ((W * W).sum() + (b * b).sum()), 1e-8)


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


def test_penalties_add():
    game = TanhGan()
    a, b = make("l2", weight=0.1), make("r1", gamma=1.0)
    _, params, batch = started(game)
    both = (
        penalty(regularized(game, a), b, params, batch)["discriminator"]
        + penalty(game, a, params, batch)["discriminator"]
    )
    total = regularized(game, a, b).losses(params, batch)["discriminator"] - game.losses(params, batch)["discriminator"]
    assert float(total) == pytest.approx(both)


@dataclass(frozen=True)
class Clip(cp.Regularizer):
    """Weight clipping with instance noise: a projection, a draw, and a buffer of its own."""

    bound: float = 0.1

    def project(self, game, params):
        return {
            **params,
            "discriminator": {k: x.clamp(-self.bound, self.bound) for k, x in params["discriminator"].items()},
        }

    def sample(self, game, rng, batch):
        return {**batch, "real": batch["real"] + torch.randn(batch["real"].shape, generator=rng, dtype=F64)}

    def buffers(self, game, rng, params):
        return {"clip/steps": torch.zeros((), dtype=F64)}

    def refresh(self, game, params, buffers):
        return {**buffers, "clip/steps": buffers["clip/steps"] + 1}


def test_projection_noise_and_buffers_of_a_third_party():
    game = TanhGan()
    steps = []
    result = cp.run(
        game,
        cp.make("solver", "simgd", lr=1.0),
        steps=3,
        regularizers=[Clip(0.05), make("l2")],
        observers=[lambda s: steps.append(float(s.batch["clip/steps"]))],
    )
    assert steps == [1, 2, 3, 4]
    assert max(float(x.abs().max()) for x in result.params["discriminator"].values()) == 0.05
    assert max(float(x.abs().max()) for x in result.params["generator"].values()) > 0.05
    members = cp.run(game, cp.make("solver", "simgd", lr=1.0), steps=3, regularizers=[Clip(0.05)], members=2)
    alone = cp.run(
        game, cp.make("solver", "simgd", lr=1.0), steps=3, regularizers=[Clip(0.05)], seed=cp.member_seed(0, 1)
    )
    close_trees(tmap(lambda x: x[1], members.params), alone.params, 1e-9)


# ------------------------------------------------------------------------------------------------------ where they fit


@pytest.mark.parametrize("name", ["r1", "gradient-penalty"])
def test_a_penalty_on_the_discriminator_needs_one(name):
    with pytest.raises(cp.UsageError, match=r"needs a GAN.*x, y"):
        regularized(QUADRATIC, make(name))


@pytest.mark.parametrize("name", ["l2", "spectral-norm"])
def test_a_regulariser_of_a_player_needs_that_player(name):
    with pytest.raises(cp.UsageError, match="no player 'discriminator'"):
        cp.run(QUADRATIC, cp.make("solver", "simgd"), steps=1, regularizers=[make(name)])


def test_zero_sum_survives_penalties_that_see_one_player_only():
    """That is what inner solves rely on: J_xy = -J_yx^T."""
    game = TanhGan()
    for name, stays in [
        ("l2", True),
        ("r1", True),
        ("spectral-norm", True),
        ("gradient-penalty", False),
        ("consensus", False),
    ]:
        both = regularized(game, make(name))
        assert both.zero_sum == stays, name
        table, params, batch = started(both)
        J = LocalGame.of(table, params, batch).jacobian()
        B, C = J.block("generator", "discriminator").dense(), J.block("discriminator", "generator").dense()
        assert torch.allclose(B, -C.T, atol=1e-10) == stays, name
    assert regularized(SmoothGan(), make("l2")).zero_sum is False


def test_a_regularised_game_shows_and_measures_with_its_own_parameters():
    game = cp.make("game", "mixture", hidden=8, layers=1, latent=2, batch=16)
    both = under(game, make("spectral-norm", player="generator"), make("l2"))
    _, params, batch = started(both)
    assert isinstance(both.game, Regularized)
    inner = both.game.reparametrised(params, batch)
    assert identical(both.show(params, batch), game.show(inner, batch))
    assert identical(both.metrics(params, batch), game.metrics(inner, batch))
    assert both.centres is game.centres and both.hidden == 8
    with pytest.raises(AttributeError):
        _ = both.nothing_of_the_kind


def test_a_regulariser_does_not_disturb_the_draws_of_the_game():
    """The same start and the same first data, with or without one that draws nothing for itself."""
    game = TanhGan()
    _, a, batch = started(game)
    _, b, other = started(regularized(game, make("l2"), make("r1")))
    assert identical(a, b) and identical(batch, other)


def test_every_leaf_is_reached():
    """One simgd step under l2 with an enormous weight shrinks every tensor of D, none of G."""
    game = SmoothGan()
    _, params, batch = started(game)
    after = one_step(regularized(game, make("l2", weight=1e6)), cp.make("solver", "simgd", lr=1e-7), params, batch)
    for x, y in zip(leaves({"d": after["discriminator"]}), leaves({"d": params["discriminator"]}), strict=True):
        close(x, 0.8 * y, 1e-5)
    close_trees({"g": after["generator"]}, {"g": params["generator"]}, 1e-5)
