"""A regularised game is a game: several regularizers in order, draws, buffers, metrics, and where they fit."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.regularizer import Regularized, regularized
from counterplay.core.game.tree import leaves, tmap

from ..support.cases import (
    F64,
    QUADRATIC,
    SmoothGan,
    close,
    close_trees,
    generator,
    identical,
    one_step,
    simgd,
    started,
)
from ..support.regularized import make, penalty, under
from ..support.tanh_gan import TanhGan


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
