"""Images in an array of NumPy, or in a safetensors file.

An array has the axes (N, H, W), (N, H, W, C) or (N, C, H, W), with 1 or 3 channels. Its numbers are uint8, or floats
from 0 to 1, or from -1 to 1 where there are negative ones; floats become the nearest of 256 levels. A .npy of uint8 is
mapped into memory, so that it may be larger than memory. Arrays of Python objects are pickles, and are refused.
"""

from __future__ import annotations

import math
import mmap
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import option
from .files import at_end, opened, refused, take

Array = np.ndarray[Any, Any]
Arrays = dict[str, Callable[[], Array]]
CHANNELS = (1, 3)
BLOCK = 1 << 24  # floats that are converted at once
RATIO, SMALL = 100, 1 << 26  # how much images can be packed; a size, in bytes, at which it does not matter
MOST_CLASSES = 1 << 16


@dataclass(frozen=True)
class ImageArrays(Dataset):
    """Labels, where there are any, are whole numbers from 0."""

    file: str = option(help="a .npy, .npz or .safetensors file")
    images: str = option("images", "name of the images in a .npz or .safetensors file")
    labels: str | None = option(
        None, "name of the labels in it, by default 'labels' if there are any; for a .npy, another .npy file"
    )

    def load(self) -> Images:
        path = Path(self.file).expanduser()
        arrays = _arrays(path)
        if (name := self.images if path.suffix.lower() != ".npy" else "") not in arrays:
            raise UsageError(f"{path} has no array {name!r}; it has {', '.join(arrays) or 'none'}: name one as images.")
        pixels, source = _pixels(arrays[name](), path)
        labels = self._labels(path, arrays, len(pixels))
        classes = [] if labels is None else [str(n) for n in range(int(labels.max()) + 1)]
        return Images.of(pixels, labels, classes, source)

    def _labels(self, path: Path, arrays: Arrays, count: int) -> Tensor | None:
        if path.suffix.lower() == ".npy":
            own = None if self.labels is None else Path(self.labels).expanduser()
            return None if own is None else _labels(_mapped(own), count, own)
        if self.labels is not None and self.labels not in arrays:
            raise UsageError(f"{path} has no array {self.labels!r}; it has {', '.join(arrays)}: name one as labels.")
        name = self.labels or "labels"
        return _labels(arrays[name](), count, path / name) if name in arrays else None


def _pixels(array: Array, path: Path) -> tuple[Tensor, str]:
    """The images, uint8 (N, C, H, W), and what they were. Raises BadData."""
    if array.ndim == 4 and (array.shape[1] in CHANNELS) != (array.shape[3] in CHANNELS):
        array = array if array.shape[1] in CHANNELS else array.transpose(0, 3, 1, 2)
    elif array.ndim == 3:
        array = array[:, None]
    else:
        raise BadData(
            f"{path} has an array of shape {array.shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W), "
            "where C, and no other of these, is 1 or 3."
        )
    if not array.size:
        raise BadData(f"{path} has an array of shape {array.shape}, which has no images.")
    if array.dtype == np.uint8:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a map cannot be written, which nobody does
            return torch.from_numpy(array), "uint8"
    if array.dtype.kind != "f":
        raise BadData(f"{path} has images of type {array.dtype}; uint8 or floats are expected: convert them.")
    rows = max(1, BLOCK // array[0].size)
    blocks = [array[n : n + rows] for n in range(0, len(array), rows)]
    low, high = (float(f([f(block) for block in blocks])) for f in (np.min, np.max))
    if not (low >= -1 and high <= 1):  # nor where there is a NaN
        raise BadData(
            f"{path} has floats from {low:g} to {high:g}; floats from 0 to 1 or from -1 to 1 are expected, or uint8."
        )
    begin, scale = (-1.0, 127.5) if low < 0 else (0.0, 255.0)
    levels = [np.rint((block.astype(np.float64) - begin) * scale).astype(np.uint8) for block in blocks]
    return torch.from_numpy(np.concatenate(levels)), f"floats from {begin:g} to 1, as 256 levels"


def _labels(array: Array, count: int, path: Path) -> Tensor:
    """One label for each image, int64. Raises BadData."""
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise BadData(
            f"{path} has labels of type {array.dtype} and shape {array.shape}; {count} integers are expected."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= MOST_CLASSES:
        raise BadData(f"{path} has labels from {low} to {high}; they are from 0 to at most {MOST_CLASSES - 1}.")
    return torch.from_numpy(array.astype(np.int64))


def _arrays(path: Path) -> Arrays:
    """The arrays in a file, by name, each read when it is called; "" for that of a .npy. Raises UsageError, BadData."""
    readers = {".npy": lambda path: {"": lambda: _mapped(path)}, ".npz": _packed, ".safetensors": _safetensors}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path} is none of {', '.join(readers)}: give one of these as file.")
    return readers[path.suffix.lower()](path)


def _mapped(path: Path) -> Array:
    with opened(path, "a .npy file of images", unpack=False) as file:
        dtype, shape, order = _header(file, path)
        begin, size = file.tell(), os.fstat(file.fileno()).st_size
        if size != begin + math.prod(shape) * dtype.itemsize:
            raise BadData(
                f"{path} has {size - begin:,} bytes of numbers, and its head says {shape} of {dtype}: it is cut "
                "short or damaged."
            )
        held = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)  # one that is written takes memory
        return np.ndarray(shape, dtype, held, begin, order=order)


def _header(file: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
    """Type, shape and order of a .npy file, which is then read from its numbers on. Raises BadData."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise BadData(f"{path} is .npy of version {version}; an array of numbers is of version 1 or 2.")
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    if dtype.hasobject or dtype.kind not in "uif":
        what = "Python objects, which are a pickle" if dtype.hasobject else str(dtype)
        raise BadData(f"{path} is an array of {what}; an array of numbers is expected.")
    if not all(n > 0 for n in shape):
        raise BadData(f"{path} is an array of shape {shape}: it has no numbers.")
    return dtype, shape, "F" if fortran else "C"


def _packed(path: Path) -> Arrays:
    with opened(path, "a .npz file of images", unpack=False) as file, zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return {name: lambda name=name: _unpacked(path, f"{name}.npy") for name in names}  # type: ignore[misc]


def _unpacked(path: Path, name: str) -> Array:
    inside = path / name
    with opened(path, "a .npz file of images", unpack=False) as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(name)
        if info.file_size > max(SMALL, RATIO * info.compress_size):
            raise BadData(
                f"{inside} claims {info.file_size:,} bytes, packed in {info.compress_size:,}: images are not packed so "
                "much. Store it as a .npy if it is one."
            )
        with archive.open(info) as member:
            dtype, shape, order = _header(cast(BinaryIO, member), inside)
            count = math.prod(shape) * dtype.itemsize
            if count > info.file_size:
                raise BadData(f"{inside} has {info.file_size:,} bytes, and its head says {shape} of {dtype}.")
            data = take(cast(BinaryIO, member), count, inside, "its array")
            at_end(cast(BinaryIO, member), inside)
        return np.ndarray(shape, dtype, data, order=order)


def _safetensors(path: Path) -> Arrays:
    from safetensors import safe_open

    def read(name: str) -> Array:
        with refused(path), safe_open(path, "np") as file:
            array: Array = file.get_tensor(name)
        return array

    with opened(path, "a .safetensors file of images", unpack=False), safe_open(path, "np") as file:
        return {name: lambda name=name: read(name) for name in file.keys()}  # type: ignore[misc]
