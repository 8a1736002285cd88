"""Small images with classes, and generators that give chosen images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import counterplay as cp
from counterplay.core.images.dataset import Dataset, Images, to_floats
from counterplay.core.images.metric import GeneratedImages

BLOCK = 40  # images that come at once


def two_classes(count: int = 80, side: int = 6, seed: int = 0, labels: bool = True) -> Images:
    """Noisy images that are bright on the left (class 0) or on the right (class 1)."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % 2
    bright = torch.zeros(2, 1, side, side)
    bright[0, :, :, : side // 2] = bright[1, :, :, side // 2 :] = 150
    noise = torch.randint(0, 100, (count, 1, side, side), generator=rng)
    return Images.of((bright[classes] + noise).to(torch.uint8), classes if labels else None, ("left", "right"))


def giving(images: Tensor) -> GeneratedImages:
    """A generator of ``images``, floats (N, C, H, W), again and again."""

    def batches(count: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        repeated = images.repeat(-(-count // len(images)), 1, 1, 1)[:count]
        yield from ((block, None) for block in repeated.split(BLOCK))

    return GeneratedImages(batches)


def real_ones(images: Images) -> GeneratedImages:
    """A generator of the real images themselves."""
    return giving(to_floats(images.pixels))


def noise(images: Images, seed: int = 1) -> GeneratedImages:
    """A generator of noise in the shape of the real images."""
    rng = torch.Generator().manual_seed(seed)
    return giving(2 * torch.rand(images.pixels.shape, generator=rng) - 1)


@dataclass(frozen=True)
class TwoClasses(Dataset):
    """The images of :func:`two_classes`, as a data set."""

    def load(self) -> Images:
        return two_classes()


def arrays_game(**options: Any) -> cp.Game:
    """A small GAN of the images."""
    network = {"name": "mlp", "filters": 8, "latent": 4}
    game: cp.Game = cp.make("game", "images", data=TwoClasses(), network=network, batch=16, **options)
    return game
