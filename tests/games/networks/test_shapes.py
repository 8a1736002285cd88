"""How many parameters every network has, and the shapes of what it makes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

import counterplay as cp
from counterplay.core.game.tree import Tree
from counterplay.core.registry.registry import entries

from ...support.networks import NARROW


def lin(a: int, b: int) -> int:
    return a * b + b


def conv(a: int, b: int, kernel: int) -> int:
    return a * b * kernel**2 + b


def residual(f: int, inner: int) -> int:
    return conv(f, inner, 3) + conv(inner, f, 3)


# network -> the side in the paper, channels, and how many parameters generator and discriminator have there
COUNTS: Mapping[str, tuple[int, int, int, int]] = {
    "mlp": (
        8, 1,
        lin(32, 128) + lin(128, 128) + lin(128, 64),
        lin(64, 128) + lin(128, 128) + lin(128, 1),
    ),
    "conv": (
        8, 1,
        lin(32, 512) + conv(128, 64, 4) + conv(64, 1, 4),
        conv(1, 64, 4) + conv(64, 128, 4) + lin(512, 1),
    ),
    "icr-mnist": (
        28, 1,
        lin(96, 1024) + 2 * 1024 + lin(1024, 6272) + 2 * 6272 + conv(128, 64, 4) + 2 * 64 + conv(64, 1, 4),
        conv(1, 32, 5) + conv(32, 64, 5) + lin(1024, 1024) + lin(1024, 1),
    ),
    "wgan-gp-dcgan": (
        32, 3,
        lin(128, 4096) + 2 * 4096 + conv(256, 128, 4) + 2 * 128 + conv(128, 64, 4) + 2 * 64 + conv(64, 3, 4),
        conv(3, 64, 4) + conv(64, 128, 4) + conv(128, 256, 4) + lin(4096, 1),
    ),
    "dcgan4": (  # batch normalisation has no scale, and its bias is in place of the convolution's
        32, 3,
        lin(256, 2048) + 512 + conv(512, 256, 5) + conv(256, 128, 5) + conv(128, 64, 5) + conv(64, 3, 5),
        conv(3, 64, 5) + conv(64, 128, 5) + conv(128, 256, 5) + conv(256, 512, 5) + lin(2048, 1),
    ),
    "dcgan4-nobn": (
        32, 3,
        lin(256, 2048) + conv(512, 256, 5) + conv(256, 128, 5) + conv(128, 64, 5) + conv(64, 3, 5),
        conv(3, 64, 5) + conv(64, 128, 5) + conv(128, 256, 5) + conv(256, 512, 5) + lin(2048, 1),
    ),
    "dcgan4-const": (
        32, 3,
        lin(256, 256) + 3 * conv(64, 64, 5) + conv(64, 3, 5),
        conv(3, 64, 5) + 3 * conv(64, 64, 5) + lin(256, 1),
    ),
    "conv4-const": (
        32, 3,
        lin(256, 512) + lin(512, 256) + 3 * conv(64, 64, 5) + conv(64, 3, 5),
        conv(3, 64, 5) + 3 * conv(64, 64, 5) + lin(256, 512) + lin(512, 1),
    ),
    "conv3-const": (
        32, 3,
        lin(256, 1024) + 2 * conv(64, 64, 5) + conv(64, 3, 5),
        conv(3, 64, 5) + 2 * conv(64, 64, 5) + lin(1024, 512) + lin(512, 1),
    ),
    "resnet-const": (
        64, 3,
        lin(256, 2048) + 3 * (conv(128, 128, 5) + residual(128, 64)) + conv(128, 3, 5),
        conv(3, 128, 5) + residual(128, 128) + 3 * (conv(128, 128, 5) + residual(128, 64)) + lin(2048, 1),
    ),
    "sngan-cnn": (  # batch normalisation has no scale, and its bias is in place of the layer's
        32, 3,
        lin(128, 8192) + conv(512, 256, 4) + conv(256, 128, 4) + conv(128, 64, 4) + conv(64, 3, 3),
        conv(3, 64, 3) + conv(64, 64, 4) + conv(64, 128, 3) + conv(128, 128, 4) + conv(128, 256, 3)
        + conv(256, 256, 4) + conv(256, 512, 3) + lin(8192, 1),
    ),
    "resnet-v1": (
        32, 3,
        lin(128, 256) + 3 * (conv(64, 64, 4) + residual(64, 32)) + conv(64, 3, 4),
        conv(3, 64, 4) + residual(64, 64) + 3 * (conv(64, 64, 4) + residual(64, 32)) + lin(256, 1),
    ),
    "resnet-v2": (
        32, 3,
        lin(128, 1024) + 3 * (conv(64, 64, 4) + residual(64, 32)) + conv(64, 3, 3),
        conv(3, 64, 4) + residual(64, 64) + 3 * (conv(64, 64, 4) + residual(64, 32)) + lin(256, 1),
    ),
}  # fmt: skip


def numbers(tree: Tree) -> int:
    return sum(x.numel() for x in tree.values())


def test_every_network_is_in_the_tables():
    assert {e.name for e in entries("network")} == set(COUNTS) == set(NARROW)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_shapes_in_the_paper(name):
    side, channels, generators, discriminators = COUNTS[name]
    network, shape = cp.make("network", name), (channels, side, side)
    G, D = network.generator(shape, network.latent), network.discriminator(shape)
    rng = torch.Generator().manual_seed(0)
    g, d = G.init(rng), D.init(rng)
    assert (numbers(g), numbers(d)) == (generators, discriminators)
    z = torch.randn(2, network.latent, generator=rng)
    images = G(g, z)
    assert images.shape == (2, *shape) and float(images.abs().max()) <= 1
    assert D(d, images).shape == (2, 1) and D.features(d, images).shape == (2, D.width)
    torch.testing.assert_close(D.readout(d, D.features(d, images)), D(d, images))


def test_wgan_gp_dcgan_has_1_86_million_parameters():
    assert round(sum(COUNTS["wgan-gp-dcgan"][2:]) / 1e6, 2) == 1.86


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NARROW)
def test_other_sides(name, channels):
    """The next height and width that fit, one after the other, with other noise as in conditional play."""
    options, (_, height, width) = NARROW[name]
    network = cp.make("network", name, **options)
    for rows, columns in ((1, 0), (0, 1)):
        shape = (channels, height + rows * network.divisor, width + columns * network.divisor)
        G, D = network.generator(shape, 7), network.discriminator(shape)
        rng = torch.Generator().manual_seed(0)
        images = G(G.init(rng), torch.randn(2, 7, generator=rng))
        assert images.shape == (2, *shape) and D(D.init(rng), images).shape == (2, 1)


@pytest.mark.parametrize("name", [n for n in NARROW if n != "mlp"])
def test_a_side_that_does_not_fit_is_told(name):
    network = cp.make("network", name, **NARROW[name][0])
    for shape in ((1, 33, 32), (1, 32, 30), (3, 2, 32)):
        for make in (lambda shape: network.generator(shape, 3), network.discriminator):
            with pytest.raises(cp.UsageError, match=f"network {name}: images of {shape[1]}x{shape[2]} pixels") as told:
                make(shape)
            assert f"multiples of {network.divisor}" in str(told.value)


def test_pooling_needs_a_side_of_16():
    with pytest.raises(cp.UsageError, match=r"images of 12x12 .*multiples of 4, 16 or more"):
        cp.make("network", "icr-mnist").discriminator((1, 12, 12))


@pytest.mark.parametrize("name", ["conv", "resnet-const", "resnet-v1", "resnet-v2"])
def test_filters_that_are_halved_are_at_least_two(name):
    with pytest.raises(cp.UsageError, match="filters"):
        cp.make("network", name, filters=1)
