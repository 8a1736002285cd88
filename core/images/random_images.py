"""Images of random pixels, for checks of games and networks that need no files."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..options import Count, option
from .dataset import Dataset, Images


@dataclass(frozen=True)
class RandomImages(Dataset):
    """Uniform pixels, always the same ones, in two classes."""

    shape: tuple[int, int, int] = option((1, 28, 28), "channels, height and width")
    count: Count = option(20, "how many images")

    def load(self) -> Images:
        rng = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (self.count, *self.shape), generator=rng, dtype=torch.uint8)
        return Images.of(pixels, torch.arange(self.count) % 2, ("even", "odd"))
