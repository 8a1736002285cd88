"""The built-in networks in narrow copies, and games of them on a few random images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import counterplay as cp
from counterplay.core.game.tree import Params

# network -> options of a narrow copy, and the smallest images that it fits
NARROW: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "mlp": ({"filters": 3}, (1, 2, 3)),
    "conv": ({"filters": 4}, (1, 4, 8)),
    "icr-mnist": ({"filters": 2, "hidden": 3}, (1, 16, 16)),
    "wgan-gp-dcgan": ({"filters": 2}, (1, 8, 8)),
    "dcgan4": ({"filters": 1}, (1, 16, 16)),
    "dcgan4-nobn": ({"filters": 1}, (1, 16, 16)),
    "dcgan4-const": ({"filters": 3, "generator_slope": 0.0}, (3, 16, 16)),
    "conv4-const": ({"filters": 2, "hidden": 3}, (1, 16, 16)),
    "conv3-const": ({"filters": 2, "hidden": 3}, (1, 8, 8)),
    "resnet-const": ({"filters": 2}, (1, 16, 16)),
    "sngan-cnn": ({"filters": 1}, (1, 8, 8)),
    "resnet-v1": ({"filters": 4}, (1, 16, 16)),
    "resnet-v2": ({"filters": 4}, (1, 16, 16)),
}


@dataclass(frozen=True)
class Noise(cp.Dataset):
    """Random pixels: no two are equal, so that a maximum is at one place."""

    shape: tuple[int, int, int] = (1, 8, 8)
    count: int = 12
    classes: int = 3

    def load(self) -> cp.Images:
        rng = torch.Generator().manual_seed(5)
        pixels = torch.randint(0, 256, (self.count, *self.shape), generator=rng).to(torch.uint8)
        return cp.Images.of(pixels, torch.arange(self.count) % self.classes, tuple("abcdefghij"[: self.classes]))


@cache
def narrow(name: str, loss: str = "non-saturating", dropout: float = 0.0, conditional: bool = False) -> Any:
    """The game `images` with a narrow copy of a network, three images a step."""
    options, shape = NARROW[name]
    network = cp.make("network", name, **options, latent=2, init="torch", dropout=dropout)
    return cp.make("game", "images", data=Noise(shape), network=network, loss=loss, batch=3, conditional=conditional)


def moved(params: Params, seed: int = 1, size: float = 0.1) -> Params:
    """``params`` plus normal numbers of this size. What is added to biases is positive: few ReLU units are dead."""
    rng = torch.Generator().manual_seed(seed)

    def step(name: str, x: torch.Tensor) -> torch.Tensor:
        noise = size * torch.randn(x.shape, generator=rng, dtype=x.dtype)
        return x + (noise.abs() + size if name.endswith("bias") else noise)

    return {i: {name: step(name, x) for name, x in tree.items()} for i, tree in params.items()}
