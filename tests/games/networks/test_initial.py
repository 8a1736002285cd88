"""The laws of initial weights, by name, and the networks of the game `digits`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import counterplay as cp
from counterplay.games.networks.initial import xavier
from counterplay.games.networks.layers import Conv, ConvT, Linear, flatten, leaky_relu, relu, reshape, tanh
from counterplay.games.networks.sequential import Sequential, mlp

from ...support.cases import generator

DEFAULTS = {  # the authors' own
    "mlp": "torch", "conv": "torch", "icr-mnist": "conv-normal-0.005", "wgan-gp-dcgan": "conv-normal-0.01",
    "dcgan4": "xavier", "resnet-const": "xavier", "sngan-cnn": "xavier", "resnet-v1": "xavier",
}  # fmt: skip


def weights(init: str, **options: object) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    network = cp.make("network", "wgan-gp-dcgan", init=init, filters=32, **options)
    shape = (3, 16, 16)
    return network.generator(shape, 128).init(generator()), network.discriminator(shape).init(generator(1))


def like(x: torch.Tensor, low: float, std: float) -> None:
    """``x`` has mean 0 and this standard deviation, within four errors, and (uniform laws) reaches ``low``."""
    n = x.numel()
    assert abs(float(x.mean())) < 4 * std / n**0.5
    assert abs(float(x.std()) / std - 1) < 4 / n**0.5
    if low:
        assert 0.98 < float(-x.min()) / low <= 1 and 0.98 < float(x.max()) / low <= 1


@pytest.mark.parametrize("init", ["torch", "xavier", "normal-0.02", "conv-normal-0.01", "conv-normal-0.005"])
def test_the_laws(init):
    for tree in weights(init):
        for name, w in tree.items():
            bias = tree.get(name.replace("weight", "bias"))
            if w.dim() == 1 or bias is None:
                continue
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(w)
            if init == "xavier":
                bound = math.sqrt(6 / (fan_in + fan_out))
                like(w, bound if w.numel() > 2000 else 0.0, bound / 3**0.5)
                assert not bias.any()
            elif init == "normal-0.02":
                like(w, 0.0, 0.02)
                assert not bias.any()
            elif "conv" in init and w.dim() == 4:
                like(w, 0.0, float(init.rpartition("-")[2]))
                assert bias.any()
            else:
                bound = 1 / math.sqrt(fan_in)
                like(w, bound if w.numel() > 2000 else 0.0, bound / 3**0.5)
                assert bias.any() and float(bias.abs().max()) <= bound
    tree = weights(init)[0]
    assert bool((tree["1.weight"] == 1).all()) and not tree["1.bias"].any()  # batch normalisation


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_is_the_authors_own(name):
    assert cp.make("network", name).init == DEFAULTS[name]


def test_xavier_is_torch_s_law():
    """Of torch's own in distribution: the bound is the same, for transposed convolutions too."""
    torch.manual_seed(0)
    for module, layer in ((nn.Conv2d(3, 8, 5), Conv(3, 8, 5)), (nn.ConvTranspose2d(6, 4, 4), ConvT(6, 4, 4))):
        nn.init.xavier_uniform_(module.weight)
        ours = Sequential((layer,), xavier).init(generator())["0.weight"]
        assert ours.shape == module.weight.shape
        assert abs(float(ours.abs().max() / module.weight.detach().abs().max()) - 1) < 0.02


def test_the_small_networks_draw_as_the_game_digits_always_did():
    """Names, order and numbers: a run of `digits` keeps every bit."""
    c = 8
    convs = (
        Sequential((Linear(5, c * 4), relu, reshape(c, 2, 2),
                    ConvT(c, c // 2, 4, 2, 1), relu, ConvT(c // 2, 1, 4, 2, 1), tanh, reshape(1, 8, 8))),
        Sequential((Conv(1, c // 2, 4, 2, 1), leaky_relu, Conv(c // 2, c, 4, 2, 1), leaky_relu,
                    flatten, Linear(c * 4, 1))),
    )  # fmt: skip
    connected = (
        Sequential((*mlp(5, c, 2, 64), tanh, reshape(1, 8, 8))),
        Sequential((flatten, *mlp(64, c, 2, 1, leaky_relu))),
    )
    for name, (G, D) in {"conv": convs, "mlp": connected}.items():
        network = cp.make("network", name, latent=5, filters=c)
        for ours, old, x in (
            (network.generator((1, 8, 8), 5), G, torch.randn(3, 5, generator=generator(2))),
            (network.discriminator((1, 8, 8)), D, torch.randn(3, 1, 8, 8, generator=generator(3))),
        ):
            a, b = ours.init(generator(4)), old.init(generator(4))
            assert list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)
            assert torch.equal(ours(a, x), old(b, x))
