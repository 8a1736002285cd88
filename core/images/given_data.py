"""Data that a user hands over: a tensor, an array, or a data set of torch. They are read once, and kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ..errors import UsageError
from ..game.checks import describe_value
from .dataset import Dataset, Images, sha256_of

LARGEST = 1 << 16  # classes


@dataclass(frozen=True)
class GivenImages(Dataset):
    """Images in memory."""

    _images: Images = field(repr=False)

    def load(self) -> Images:
        return self._images

    @property
    def labels(self) -> Tensor | None:
        """The labels (N,), or None."""
        return self._images.labels


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples (N, ...) of any shape, floating, with labels (N,) from 0 or None, and the sha256 of both."""

    x: Tensor
    labels: Tensor | None
    digest: str


def given_data(data: Any, labels: Any = None) -> GivenImages | Samples:
    """What was handed over, as images if it is of their form, else as samples.

    Images are uint8 of the axes (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or floats (N, C, H, W)
    from 0 to 1, or from -1 to 1 where there are negative ones, which become the nearest of 256 levels. The items of a
    data set of torch are such images or samples, alone or with a label. Raises UsageError for what cannot be drawn in
    any order, and for 256 levels of another type.
    """
    if not isinstance(data, Tensor | np.ndarray):
        if labels is not None:
            raise UsageError("labels are for a tensor or an array: the items of a data set have theirs, as (x, label).")
        data, labels = _read(data)
    x = torch.as_tensor(np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data.detach().cpu())
    if x.dim() < 1 or not x.numel() or x.is_complex() or x.layout is not torch.strided:
        raise UsageError(f"data are real numbers (N, ...), one row a sample; got {describe_value(x)}.")
    y = None if labels is None else _labels(labels, len(x))
    pixels = _pixels(x)
    if pixels is not None:
        classes = [] if y is None else [str(n) for n in range(int(y.max()) + 1)]
        return GivenImages(Images.of(pixels, y, classes, "handed over in Python"))
    if not x.isfinite().all():
        raise UsageError("the data have numbers that are not finite.")
    if x.dim() == 4 and {x.shape[1], x.shape[3]} & {1, 3} and _levels(x):
        raise UsageError(
            f"data are {describe_value(x)}, whole numbers from 0 to {int(x.max())}: images of 256 levels are "
            "uint8, as by data.to(torch.uint8) or data.astype('uint8'). For other samples give sample in place of data."
        )
    x = x if x.is_floating_point() else x.to(torch.float32)
    return Samples(x, y, sha256_of(x, y))


def _read(data: Any) -> tuple[Tensor, Any]:
    """All items of a map-style data set of torch, and their labels or None."""
    if not isinstance(data, DataLoader | IterableDataset | Iterator) and not hasattr(data, "__getitem__"):
        raise UsageError(f"data is {_named(data)}; a data set or its name, a tensor or an array (N, ...) is expected.")
    if isinstance(data, DataLoader | IterableDataset | Iterator):
        raise UsageError(
            f"data is {_named(data)}, which has an order of its own, so that a run of it could not be repeated or "
            "resumed: give a tensor, an array, or a data set with __getitem__ and __len__ (the .dataset of a "
            "DataLoader); or draw batches by sample=..., and play with inexact_data=True."
        )
    try:
        count = len(data)
    except TypeError:
        raise UsageError(f"data is {_named(data)}, which has no length.") from None
    items = [_split(data[n], n) for n in range(count)]
    if not items:
        raise UsageError(f"data is {_named(data)}, which has no items.")
    again = _split(data[0], 0)[0]
    if again.shape != items[0][0].shape or not torch.equal(again, items[0][0]):
        raise UsageError(
            "item 0 of data is another when it is read again: its transforms are random. Leave them out; flip=True "
            "mirrors images from the run's own generator."
        )
    shapes = {tuple(x.shape) for x, _ in items}
    if len(shapes) > 1:
        raise UsageError(f"the items of data have several shapes, as {sorted(shapes)[:2]}: bring them to one.")
    labels = [y for _, y in items]
    return torch.stack([x for x, _ in items]), None if labels[0] is None else labels


def _split(item: Any, n: int) -> tuple[Tensor, Any]:
    """An item as a sample and its label, or None."""
    x, y = (item[0], item[1] if len(item) > 1 else None) if isinstance(item, tuple | list) else (item, None)
    try:
        tensor = x.detach().cpu() if isinstance(x, Tensor) else torch.as_tensor(np.array(x))
    except (TypeError, ValueError):
        raise UsageError(f"item {n} of data is {_named(x)}; a tensor, an array or an image is expected.") from None
    return tensor, y


def _labels(given: Any, count: int) -> Tensor:
    """Labels, int64 (count,). Raises UsageError."""
    found = torch.as_tensor(np.array([y.item() if isinstance(y, Tensor) and not y.dim() else y for y in given]))
    whole = found.shape == (count,) and not (found.is_floating_point() or found.is_complex())
    if not whole or int(found.min()) < 0 or int(found.max()) >= LARGEST:
        raise UsageError(
            f"labels are {count} whole numbers from 0 to at most {LARGEST - 1}, of a type such as int64; got "
            f"{describe_value(found)}."
        )
    return found.to(torch.int64)


def _pixels(x: Tensor) -> Tensor | None:
    """Images, uint8 (N, C, H, W), if ``x`` has their form, else None."""
    if x.dtype == torch.uint8 and x.dim() == 3:
        return x[:, None]
    if x.dim() != 4:
        return None
    if x.dtype == torch.uint8:
        first = x.shape[1] in (1, 3)
        return x if first else x.permute(0, 3, 1, 2).contiguous() if x.shape[3] in (1, 3) else None
    if not x.is_floating_point() or x.shape[1] not in (1, 3):
        return None
    low, high = float(x.min()), float(x.max())
    if not (low >= -1 and high <= 1):  # nor where there is a NaN
        return None
    begin, scale = (-1.0, 127.5) if low < 0 else (0.0, 255.0)
    return ((x.double() - begin) * scale).round().to(torch.uint8)


def _levels(x: Tensor) -> bool:
    """Whether all numbers are whole, from 0 to 255, and not only 0 and 1."""
    return bool(x.min() >= 0 and 1 < x.max() <= 255 and (x == x.round()).all())


def _named(x: Any) -> str:
    return f"a {type(x).__name__}"
