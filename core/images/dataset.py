"""Data sets of images: where they come from, and the images themselves."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError

BLOCK = 1 << 24  # numbers that are read at once to compute a digest


@dataclass(frozen=True, eq=False)
class Images:
    """Images in memory, or in a file that is mapped into memory.

    pixels    (N, C, H, W), uint8, C being 1 or 3
    labels    (N,), int64, from 0 to len(classes) - 1; None where the images have no classes
    classes   the names of the classes, in the order of the labels
    digest    the sha256 of shape, pixels and labels, which says whether two data sets are the same
    source    what they were read from, in words, as "the official files"; recorded with a run, never compared
    """

    pixels: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    digest: str
    source: str = ""

    @staticmethod
    def of(pixels: Tensor, labels: Tensor | None = None, classes: Sequence[str] = (), source: str = "") -> Images:
        """Images with their digest. Raises UsageError unless pixels and labels have the form that is said above.

        Labels may be whole numbers of any type.
        """
        whole = isinstance(labels, Tensor) and not labels.is_floating_point() and not labels.is_complex()
        labels = labels.to(torch.int64) if whole and labels is not None else labels
        made = valid_images(Images(pixels, labels, tuple(classes), "", source))
        return replace(made, digest=sha256_of(pixels, labels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of each image."""
        _, c, h, w = self.pixels.shape
        return c, h, w

    def __len__(self) -> int:
        return len(self.pixels)


def valid_images(images: Any) -> Images:
    """``images``. Raises UsageError unless they are `Images` of the form that is said there."""
    if not isinstance(images, Images):
        raise UsageError(f"a data set loads counterplay.Images.of(pixels, ...); got a {type(images).__name__}.")
    pixels, labels, count = images.pixels, images.labels, len(images.classes)
    fits = isinstance(pixels, Tensor) and pixels.dim() == 4 and pixels.shape[1] in (1, 3) and pixels.numel()
    if not fits or pixels.dtype != torch.uint8:
        raise UsageError(
            f"images are uint8 of shape (N, C, H, W) with 1 or 3 channels, from 0 to 255; got {_described(pixels)}."
        )
    if labels is None:
        return images
    fits = isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.shape == pixels.shape[:1]
    if not fits or labels.min() < 0 or labels.max() >= count:
        raise UsageError(
            f"labels are one whole number from 0 to {count - 1} for each of the {len(pixels)} images, int64; got "
            f"{_described(labels)}."
        )
    return images


def _described(x: Any) -> str:
    if not isinstance(x, Tensor):
        return f"a {type(x).__name__}"
    span = f", from {x.min()} to {x.max()}" if x.numel() and not x.is_complex() else ""
    return f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}{span}"


def sha256_of(pixels: Tensor, labels: Tensor | None) -> str:
    """The sum of shape, pixels and labels."""
    found = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    rows = max(1, BLOCK // pixels[0].numel())
    for block in pixels.split(rows):
        found.update(block.contiguous().numpy().data)
    if labels is not None:
        found.update(labels.contiguous().numpy().data)
    return found.hexdigest()


class Dataset(ABC):
    """A data set of images. A subclass is a frozen dataclass whose fields are its options, as root, split or side."""

    kind = "data set"  # what an option of this type is said to be

    @abstractmethod
    def load(self) -> Images:
        """Read the images. Nothing is downloaded, and no pickle is read.

        Raises UsageError where a folder or a file is missing, or an option does not fit; BadData where a file is
        damaged, truncated or of another format.
        """

    def known_classes(self) -> Sequence[str] | None:
        """The names of the classes, where they are known before the images are read, () being none; else None."""
        return None


def to_floats(pixels: Tensor) -> Tensor:
    """Images in [-1, 1], float32, of the same shape, from uint8."""
    return pixels.to(torch.float32) / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """The nearest uint8 images, of the same shape, from floats in [-1, 1]; the inverse of :func:`to_floats`."""
    return ((images.detach() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
