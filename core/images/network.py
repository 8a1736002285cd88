"""Networks for images: a generator and a discriminator that fit images of a given shape, as pure functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from ..game.tree import Tree

Shape = tuple[int, int, int]
"""(C, H, W) of an image."""


class NetworkFunction(Protocol):
    """A pure function of parameters and an input."""

    def init(self, rng: torch.Generator) -> Tree:
        """Draw the initial parameters, float32, by name."""

    def __call__(self, tree: Tree, x: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
        """The output for the input ``x`` (B, ...). ``masks`` were drawn by `masks`; () where nothing drops."""


class SplitDiscriminator(NetworkFunction, Protocol):
    """A discriminator whose last layer is linear, as conditional play and dropout need it."""

    width: int
    """How many numbers the last layer reads of each image."""

    def features(self, tree: Tree, x: Tensor, masks: tuple[Tensor, ...] = ()) -> Tensor:
        """What the last layer reads, (B, width)."""

    def readout(self, tree: Tree, features: Tensor) -> Tensor:
        """The logits (B, 1) that the last layer makes of the features."""

    def masks(self, rng: torch.Generator, count: int) -> tuple[Tensor, ...]:
        """The dropout masks of one step, (count, ...) each, one for each layer that drops; () where none does."""


class Network(ABC):
    """A pair of networks. A subclass is a frozen dataclass whose fields are its options, as filters, latent or bn."""

    kind = "network"  # what an option of this type is said to be
    latent: int
    """The dimension of the noise z."""

    @abstractmethod
    def generator(self, shape: Shape, inputs: int) -> NetworkFunction:
        """The generator, from (B, inputs) to images (B, C, H, W) in [-1, 1].

        ``inputs`` is ``latent``, and in conditional play more: z is then followed by an embedding of the label. Raises
        UsageError if it cannot make images of this shape.
        """

    @abstractmethod
    def discriminator(self, shape: Shape) -> NetworkFunction:
        """The discriminator, from images (B, C, H, W) to logits (B, 1).

        For conditional play and dropout it is a `SplitDiscriminator`. Raises UsageError for images of a shape that it
        cannot see.
        """
