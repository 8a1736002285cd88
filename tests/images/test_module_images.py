"""A user's own modules on the images of a data set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import counterplay as cp
from counterplay.core.game.tree import ravel


def modules():
    torch.manual_seed(0)
    return {
        "generator": nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.LeakyReLU(0.2), nn.Linear(5, 1)),
    }


def by_hand(nets, batch):
    real, fake = nets["discriminator"](batch["real"]), nets["discriminator"](nets["generator"](batch["noise"]))
    return {"generator": softplus(-fake).mean(), "discriminator": softplus(-real).mean() + softplus(fake).mean()}


def test_a_loss_by_name_is_that_loss_by_hand():
    games = [
        cp.game_from_modules(modules(), losses, data="digits", latent=3, batch=16)
        for losses in ("non-saturating", by_hand)
    ]
    a, b = (cp.run(g, cp.make("solver", "simgd", lr=0.05), steps=3) for g in games)
    assert torch.allclose(ravel(a.params), ravel(b.params), atol=1e-7)
    assert not torch.allclose(ravel(a.params), ravel(games[0].init(torch.Generator())))


def test_samples_are_of_the_generator_with_the_parameters_of_the_run():
    g = cp.game_from_modules(modules(), by_hand, data="digits", latent=3, batch=16)
    params = g.init(torch.Generator())
    params["generator"] = {k: torch.full_like(x, 2.0 if k == "1.bias" else 0) for k, x in params["generator"].items()}
    gallery = g.gallery(torch.Generator().manual_seed(0), g.buffers(torch.Generator().manual_seed(0)))
    shown = g.show(params, gallery)
    assert shown is not None and shown.shape == (64, 1, 8, 8)
    assert torch.allclose(shown, (torch.tensor(2.0).tanh() + 1) / 2)
    result = cp.run(g, cp.make("solver", "simgd"), steps=1, history=True, sample_every=1)
    assert result.history is not None and result.history["samples/images"].shape == (2, 64, 1, 8, 8)


def test_the_generator_of_conditional_play_gets_the_classes():
    class Of(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(10, 3)
            self.body = modules()["generator"]

        def forward(self, z, y):
            return self.body(z * self.embedding(y))

    class Told(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(64, 10)

        def forward(self, x, y):
            return self.body(x.flatten(1)).gather(1, y[:, None])

    g = cp.game_from_modules(
        {"generator": Of(), "discriminator": Told()}, "hinge", data="digits", latent=3, batch=16, conditional=True
    )
    result = cp.run(g, cp.make("solver", "acgd"), steps=2, history=True, sample_every=1)
    assert result.status == "max_steps"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"losses": "hinge"}, "give sample, a function of a generator, or data"),
        ({"losses": by_hand}, "give sample, a function of a generator, or data"),
        ({"data": "digits"}, "the game has no losses"),
        ({"losses": by_hand, "loss": "hinge", "data": "digits"}, "given twice"),
        ({"losses": by_hand, "data": "digits", "generator": "G"}, "generator='G': the modules are generator, discr"),
        ({"losses": by_hand, "sample": lambda rng: {}, "metrics": "fid"}, "metrics by name are of images"),
        ({"losses": by_hand, "data": "digits", "sample": lambda rng: {}}, "give one of them"),
        ({"losses": "hing", "data": "digits"}, "unknown loss 'hing'; did you mean 'hinge'"),
        ({"losses": by_hand, "data": "digit"}, "unknown dataset 'digit'; did you mean 'digits'"),
    ],
)
def test_what_does_not_fit_is_said(arguments, words):
    with pytest.raises(cp.UsageError, match=words):
        cp.game_from_modules(modules(), **arguments)


def test_players_of_a_gan_loss_are_generator_and_discriminator():
    named = modules()
    with pytest.raises(cp.UsageError, match='"generator" and "discriminator"'):
        cp.game_from_modules(
            {"generator": named["generator"], "critic": named["discriminator"]}, "hinge", data="digits"
        )
    with pytest.raises(cp.UsageError, match='called "generator"'):
        cp.game_from_modules({"maker": named["generator"]}, by_hand, data="digits")


@pytest.mark.parametrize(
    ("name", "given"), [("latent", -1), ("latent", True), ("batch", 0), ("batch", "4"), ("batch", 2.5)]
)
def test_counts_are_whole_numbers(name, given):
    players = {"generator": nn.Linear(2, 64), "discriminator": nn.Linear(64, 1)}
    with pytest.raises(cp.UsageError, match=f"^{name} must be a whole number of at least 1, got "):
        cp.game_from_modules(players, "wgan", data="digits", **{name: given})


def test_a_single_metric_by_name():
    players = {"generator": nn.Linear(2, 64), "discriminator": nn.Linear(64, 1)}
    game: Any = cp.game_from_modules(players, "wgan", data="digits", metrics="fid")
    assert [*game.metric_axes] == ["fid"] and [*game.with_metrics("kid").metric_axes] == ["kid", "kid_std"]
