"""The checks of a pair of networks: shapes, purity, which images fit, and a small game with it.

They are made with a narrow copy: every option that is a whole number has its least value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..game.game import GanGame
from ..game.loss import GanLoss
from ..game.tree import Batch, Buffers, Params, Tree
from ..images.network import Network, NetworkFunction, Shape
from ..options import bounds_of, options_of
from ..registry.registry import find, make
from .assertions import TOL, Broken, Case, close, is_pure, require, same
from .games import game_cases

SIDES = (8, 16, 28, 32, 64)
ODD = ((1, 1, 1), (1, 7, 9), (3, 33, 30))  # images that few networks fit
COUNT = 3


def networks(name: str) -> Iterator[Case]:
    """The checks of the network ``name``, as (label, function) pairs."""

    def shapes() -> None:
        network = narrow(name)
        for channels in (1, 3):
            shape = fitting(network, channels)
            for inputs in (network.latent, network.latent + 2):
                _made(network, shape, inputs)

    def odd() -> None:
        network = narrow(name)
        for shape in ODD:
            try:
                _made(network, shape, network.latent)
            except UsageError as error:
                require(len(str(error)) > 10, "images that do not fit must be refused in a sentence")

    def seeded() -> None:
        state = torch.get_rng_state()
        for f in _pair(narrow(name)):
            first, again = _init(f, 3), _init(f, 3)
            require(same(first, again), "the same seed gave other initial parameters")
            kinds = {x.dtype for x in first.values()}
            require(kinds == {torch.float32}, f"initial parameters are float32; got {', '.join(map(str, kinds))}")
            require(not same(first, _init(f, 4)), "another seed gave the same initial parameters")
        unmoved = torch.equal(state, torch.get_rng_state())
        require(unmoved, "global random numbers were drawn: use the generator given")

    def pure() -> None:
        played = _Played(narrow(name))
        params, rng = played.init(torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
        batch = played.sample(rng, {})
        is_pure(played.generator, params["generator"], batch["noise"])
        for masks in ((), batch["masks"]):
            is_pure(played.discriminator, params["discriminator"], batch["real"], masks)

    def features() -> None:
        played = _Played(narrow(name))
        D: Any = played.discriminator
        if not hasattr(D, "features"):
            return  # it cannot be played with classes, and is then refused
        tree, x = _init(D, 0), played.sample(torch.Generator().manual_seed(1), {})["real"]
        phi = D.features(tree, x)
        require(phi.shape == (COUNT, D.width), f"features of shape {tuple(phi.shape)}, width {D.width}")
        close(D.readout(tree, phi), D(tree, x), TOL.adjoint, "the logits that the last layer makes of the features")

    def game() -> None:
        for label, run in game_cases(lambda: _Played(narrow(name))):
            try:
                run()
            except Broken as error:
                raise Broken(f"in a game, {label}: {error}") from None

    yield "shapes of images, logits and masks", shapes
    yield "images that do not fit are refused in words", odd
    yield "the seed decides", seeded
    yield "both networks are pure", pure
    yield "features give the logits", features
    yield "a game with it passes the checks of games", game


def narrow(name: str) -> Network:
    """The network with all whole numbers among its options at their least, as small as it can be."""
    least = {}
    for o in options_of(find("network", name).factory):
        kind, low, _ = bounds_of(o.annotation)
        if kind is int and low is not None:
            least[o.name] = max(1, low)
    network: Network = make("network", name, **least)
    return network


def fitting(network: Network, channels: int) -> Shape:
    """The smallest square images that ``network`` fits."""
    refused = ""
    for side in SIDES:
        shape = (channels, side, side)
        try:
            network.generator(shape, network.latent)
            network.discriminator(shape)
        except UsageError as error:
            refused = str(error)
        else:
            return shape
    raise Broken(f"no square images of {channels} channels fit, of the sides {SIDES}; the last one: {refused}")


def _pair(network: Network) -> tuple[NetworkFunction, NetworkFunction]:
    shape = fitting(network, 1)
    return network.generator(shape, network.latent), network.discriminator(shape)


def _init(f: NetworkFunction, seed: int) -> Tree:
    return f.init(torch.Generator().manual_seed(seed))


def _made(network: Network, shape: Shape, inputs: int) -> None:
    """Check what the networks make for images of this shape. UsageError if they do not fit it."""
    G, D = network.generator(shape, inputs), network.discriminator(shape)
    rng = torch.Generator().manual_seed(0)
    images = G(G.init(rng), torch.randn(COUNT, inputs, generator=rng))
    require(images.shape == (COUNT, *shape), f"{COUNT} images {shape} were asked for; got {tuple(images.shape)}")
    most = float(images.abs().max())
    require(most <= 1, f"images are in [-1, 1]; got {most:.3g}")
    masks = D.masks(rng, COUNT) if hasattr(D, "masks") else ()
    short = [tuple(m.shape) for m in masks if len(m) != COUNT]
    require(not short, f"each dropout mask has one row for each of {COUNT} images; got shapes {short}")
    logits = D(D.init(rng), images, masks)
    require(logits.shape == (COUNT, 1), f"{COUNT} logits have shape {(COUNT, 1)}; got {tuple(logits.shape)}")
    require(torch.isfinite(logits).all(), "the logits of the first images are not finite")


@dataclass(frozen=True)
class _Played(GanGame):
    """A game on random images, from a point where no bias is 0."""

    network: Network

    @cached_property
    def loss(self) -> GanLoss:  # type: ignore[override]
        return make("loss", "non-saturating")

    @cached_property
    def shape(self) -> Shape:
        return fitting(self.network, 1)

    @cached_property
    def generator(self) -> NetworkFunction:
        return self.network.generator(self.shape, self.network.latent)

    @cached_property
    def discriminator(self) -> NetworkFunction:
        return self.network.discriminator(self.shape)

    def init(self, rng: torch.Generator) -> Params:
        trees = {"generator": self.generator.init(rng), "discriminator": self.discriminator.init(rng)}
        return {
            i: {k: x + 0.1 * torch.randn(x.shape, generator=rng, dtype=x.dtype) for k, x in tree.items()}
            for i, tree in trees.items()
        }

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        real = 2 * torch.rand(COUNT, *self.shape, generator=rng, dtype=torch.float32) - 1
        noise = torch.randn(COUNT, self.network.latent, generator=rng, dtype=torch.float32)
        D: Any = self.discriminator
        masks = D.masks(rng, COUNT) if hasattr(D, "masks") else ()
        return {**buffers, "real": real, "noise": noise, "masks": masks}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return self.generator(generator, z)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return self.discriminator(discriminator, x, batch["masks"]).squeeze(1)
