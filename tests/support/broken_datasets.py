"""A data set that keeps the contract, and for each check of data sets one that does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch

import counterplay as cp

FORMED, SUMMED = "images and labels are formed as they should be", "the digest is that of the images"
AGAIN = "loaded again, they are the same"
_LOADED = count()


def images(seed: int = 0) -> cp.Images:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (6, 1, 4, 4), generator=rng, dtype=torch.uint8)
    return cp.Images.of(pixels, torch.arange(6) % 2, ("no", "yes"))


@dataclass(frozen=True)
class SoundData(cp.Dataset):
    """Six images."""

    def load(self) -> cp.Images:
        return images()


class Floats(SoundData):
    def load(self) -> cp.Images:
        return replace(images(), pixels=images().pixels.float())


class NoImages(SoundData):
    def load(self) -> Any:
        return images().pixels


class ManyLabels(SoundData):
    def load(self) -> cp.Images:
        return replace(images(), classes=("one",))


class ShortLabels(SoundData):
    def load(self) -> cp.Images:
        return replace(images(), labels=torch.zeros(5, dtype=torch.int64))


class WrongSum(SoundData):
    def load(self) -> cp.Images:
        return replace(images(), digest="0" * 64)


class Drawn(SoundData):
    def load(self) -> cp.Images:
        return images(next(_LOADED))


class Global(SoundData):
    def load(self) -> cp.Images:
        torch.rand(1)
        return images()


BROKEN_DATASETS: Sequence[tuple[Callable[..., Any], str]] = [
    (Floats, FORMED), (NoImages, FORMED), (ManyLabels, FORMED), (ShortLabels, FORMED), (WrongSum, SUMMED),
    (Drawn, AGAIN), (Global, AGAIN),
]  # fmt: skip
