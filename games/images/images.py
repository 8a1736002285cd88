"""A GAN of images, made of a data set, a pair of networks and a loss, each by name.

In conditional play both players know the class y of an image. The generator reads an embedding of y after its noise z.
The discriminator adds the inner product of another embedding of y with its features phi(x), the projection
discriminator of Miyato and Koyama (2018, arXiv 1802.05637), eq. 4: D(x, y) = w . phi(x) + b + e_y . phi(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.game.game import GanGame
from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.images.image_game_base import ImageGameBase
from ...core.images.network import Network
from ...core.options import option
from ...core.registry.registry import make


@dataclass(frozen=True)
class ImagePlay(ImageGameBase):
    """Images and the two networks by which they are generated and discriminated."""

    network: Network = option("mlp", "pair of networks")
    loss: GanLoss = option("non-saturating", "GAN loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "network", make("network", self.network))
        object.__setattr__(self, "loss", make("loss", self.loss))

    @property
    def noise_size(self) -> int:
        return self.network.latent

    @cached_property
    def generator(self) -> Any:
        """The generator, a :class:`NetworkFunction`."""
        latent = self.network.latent
        return self.network.generator(self.images.shape, 2 * latent if self.conditional else latent)

    @cached_property
    def discriminator(self) -> Any:
        """The discriminator, a :class:`NetworkFunction`; in conditional play a :class:`SplitDiscriminator`."""
        made = self.network.discriminator(self.images.shape)
        if self.conditional and not hasattr(made, "features"):
            raise UsageError(
                "conditional play needs a discriminator that gives its features, and this network's does not: set "
                "conditional=false, or choose another network."
            )
        return made

    def first_generator(self, rng: torch.Generator) -> Tree:
        """Draw the initial parameters of a generator."""
        tree: Tree = self.generator.init(rng)
        return {**tree, "embedding": self._embedding(rng, self.network.latent)} if self.conditional else tree

    def first_discriminator(self, rng: torch.Generator) -> Tree:
        """Draw the initial parameters of a discriminator; e_y so that e_y . phi is of the order of phi."""
        tree: Tree = self.discriminator.init(rng)
        if self.conditional:
            width = self.discriminator.width
            tree = {**tree, "embedding": self._embedding(rng, width) / width**0.5}
        return tree

    def _embedding(self, rng: torch.Generator, width: int) -> Tensor:
        return torch.randn(len(self.images.classes), width, generator=rng, dtype=torch.float32)

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        batch = super().sample(rng, buffers)
        draw = getattr(self.discriminator, "masks", None)
        masks = draw(rng, self.batch) if draw is not None else ()
        return {**batch, "dropout": masks} if masks else batch

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        if not self.conditional:
            return self.generator(generator, z)  # (B, C, H, W)
        own, embedding = _split(generator)
        return self.generator(own, torch.cat([z, embedding[batch["labels"]]], dim=1))

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        """Logits (B,). The i-th real and the i-th generated image of a step drop the same units, if any."""
        masks = (batch["dropout"],) if "dropout" in batch else ()
        if not self.conditional:
            return self.discriminator(discriminator, x, *masks).squeeze(1)  # (B,)
        own, embedding = _split(discriminator)
        phi = self.discriminator.features(own, x, *masks)  # (B, width)
        return self.discriminator.readout(own, phi).squeeze(1) + (phi * embedding[batch["labels"]]).sum(1)


@dataclass(frozen=True)
class ImageGame(ImagePlay, GanGame):
    """One generator against one discriminator."""

    def init(self, rng: torch.Generator) -> Params:
        return {"generator": self.first_generator(rng), "discriminator": self.first_discriminator(rng)}


def _split(tree: Tree) -> tuple[Tree, Tensor]:
    """A network's own parameters, and the embedding of the classes."""
    return {k: x for k, x in tree.items() if k != "embedding"}, tree["embedding"]
