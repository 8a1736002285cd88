"""Pairs of networks that break one promise each, and the check that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.game.tree import Tree
from counterplay.core.images.network import Shape
from counterplay.core.options import Count, option


@dataclass(frozen=True)
class Generator:
    shape: Shape
    inputs: int

    def init(self, rng: torch.Generator) -> Tree:
        size = self.shape[0] * self.shape[1] * self.shape[2]
        return {"weight": torch.randn(self.inputs, size, generator=rng)}

    def __call__(self, tree: Tree, x: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
        return (x @ tree["weight"]).reshape(len(x), *self.shape).tanh()


@dataclass(frozen=True)
class Discriminator:
    """With a mask on its features."""

    shape: Shape
    width: int = 2

    def init(self, rng: torch.Generator) -> Tree:
        size = self.shape[0] * self.shape[1] * self.shape[2]
        return {"hidden": torch.randn(size, 2, generator=rng) / size, "last": torch.randn(2, 1, generator=rng)}

    def masks(self, rng: torch.Generator, count: int) -> tuple[Tensor, ...]:
        return ((torch.rand(count, 2, generator=rng) > 0.5) * 2.0,)

    def features(self, tree: Tree, x: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
        phi = (x.flatten(1) @ tree["hidden"]).tanh()
        return phi * masks[0] if masks else phi

    def readout(self, tree: Tree, features: Tensor) -> Tensor:
        return features @ tree["last"]

    def __call__(self, tree: Tree, x: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
        return self.readout(tree, self.features(tree, x, masks))


@dataclass(frozen=True)
class SoundNetwork(cp.Network):
    """Linear, of images with an even side."""

    latent: Count = option(3, "dimension of the noise z")

    def generator(self, shape: Shape, inputs: int) -> Any:
        self.fits(shape)
        return Generator(shape, inputs)

    def discriminator(self, shape: Shape) -> Any:
        self.fits(shape)
        return Discriminator(shape)

    def fits(self, shape: Shape) -> None:
        if shape[1] % 2 or shape[2] % 2:
            raise cp.UsageError(f"images of {shape[1]}x{shape[2]}: choose even sides.")


class Unbounded(Generator):
    def __call__(self, tree, x, masks=()):
        return 1.5 * super().__call__(tree, x)


class FlatLogits(Discriminator):
    def __call__(self, tree, x, masks=()):
        return super().__call__(tree, x, masks).squeeze(1)


class OneMask(Discriminator):
    def masks(self, rng, count):
        return (torch.ones(1, 2),)


class DrawsGlobally(Generator):
    def init(self, rng):
        return {"weight": torch.randn(self.inputs, self.shape[0] * self.shape[1] * self.shape[2])}


class AlwaysTheSame(Discriminator):
    def init(self, rng):
        return super().init(torch.Generator().manual_seed(0))


class DrawsInCalls(Discriminator):
    def __call__(self, tree, x, masks=()):
        return super().__call__(tree, x * torch.rand(len(x), 1, 1, 1), masks)


class InPlace(Generator):
    def __call__(self, tree, x, masks=()):
        tree["weight"].mul_(0.5)
        return super().__call__(tree, x)


class OtherFeatures(Discriminator):
    def features(self, tree, x, masks=()):
        return super().features(tree, x, masks) + 1

    def __call__(self, tree, x, masks=()):
        return self.readout(tree, super().features(tree, x, masks))


class Detached(Discriminator):
    def __call__(self, tree, x, masks=()):
        return super().__call__(tree, x, masks) * tree["last"].detach().sum()


class Crashes(SoundNetwork):
    def fits(self, shape):
        if shape[1] % 2:
            raise ValueError("odd")


class Speechless(SoundNetwork):
    def fits(self, shape):
        if shape[1] % 2 or shape[2] % 2:
            raise cp.UsageError("no")


class Choosy(SoundNetwork):
    def fits(self, shape):
        if shape[1] != 17:
            raise cp.UsageError("the side must be 17.")


def _with(generator: Any = Generator, discriminator: Any = Discriminator) -> Any:
    """The sound pair with another generator or discriminator."""

    @dataclass(frozen=True)
    class Changed(SoundNetwork):
        def generator(self, shape: Shape, inputs: int) -> Any:
            self.fits(shape)
            return generator(shape, inputs)

        def discriminator(self, shape: Shape) -> Any:
            self.fits(shape)
            return discriminator(shape)

    changed = generator if generator is not Generator else discriminator
    Changed.__name__ = Changed.__qualname__ = changed.__name__
    return Changed


SHAPES = "shapes of images, logits and masks"
BROKEN_NETWORKS = [
    (_with(generator=Unbounded), SHAPES),
    (_with(discriminator=FlatLogits), SHAPES),
    (_with(discriminator=OneMask), SHAPES),
    (Choosy, SHAPES),
    (Crashes, "images that do not fit are refused in words"),
    (Speechless, "images that do not fit are refused in words"),
    (_with(generator=DrawsGlobally), "the seed decides"),
    (_with(discriminator=AlwaysTheSame), "the seed decides"),
    (_with(discriminator=DrawsInCalls), "both networks are pure"),
    (_with(generator=InPlace), "both networks are pure"),
    (_with(discriminator=OtherFeatures), "features give the logits"),
    (_with(discriminator=Detached), "a game with it passes the checks of games"),
]
