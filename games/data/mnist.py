"""MNIST and Fashion-MNIST from the four official files: 60,000 and 10,000 grey images of 28x28 pixels, in 10 classes.

LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition"; Xiao, Rasul and
Vollgraf (2017, arXiv 1708.07747). Files are summed as they are unpacked, since others pack them otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import option
from .files import folder, opened, source_of
from .idx import read_idx

FILES = {  # the images and the labels of each split
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SUMS = {  # MD5 of the unpacked files
    "6bbc9ace898e44ae57da46a324031adb": "mnist's train-images-idx3-ubyte",
    "a25bea736e30d166cdddb491f175f624": "mnist's train-labels-idx1-ubyte",
    "2646ac647ad5339dbf082846283269ea": "mnist's t10k-images-idx3-ubyte",
    "27ae3e4e09519cfbb04c329615203637": "mnist's t10k-labels-idx1-ubyte",
    "f4a8712d7a061bf5bd6d2ca38dc4d50a": "fashion-mnist's train-images-idx3-ubyte",
    "9018921c3c673c538a1fc5bad174d6f9": "fashion-mnist's train-labels-idx1-ubyte",
    "8181f5470baa50b63fa0f6fddb340f0a": "fashion-mnist's t10k-images-idx3-ubyte",
    "15d484375f8d13e6eb1aabb0c3f46965": "fashion-mnist's t10k-labels-idx1-ubyte",
}
SIDE, DIGITS = 28, tuple(str(d) for d in range(10))
DEBIAN = "/usr/share/datasets/fashion-mnist"


@dataclass(frozen=True)
class Mnist(Dataset):
    """Handwritten digits."""

    root: str = option(help="folder with the official files, as train-images-idx3-ubyte.gz, packed or unpacked")
    split: Literal["train", "test"] = option("train", "which of them")

    classes: ClassVar[tuple[str, ...]] = DIGITS
    title: ClassVar[str] = "mnist"

    def load(self) -> Images:
        names = FILES[self.split]
        root = folder(self.root, f"{names[0]}.gz and {names[1]}.gz")
        paths = [_found(root, name) for name in names]
        with opened(paths[0], "a file that can be read") as file:
            pixels, images_file = read_idx(file, paths[0], (SIDE, SIDE), f"images of {SIDE}x{SIDE}")
        with opened(paths[1], "a file that can be read") as file:
            labels, labels_file = read_idx(file, paths[1], (), "labels")
        if len(labels) != len(pixels):
            raise BadData(f"{paths[1]} has {len(labels):,} labels for the {len(pixels):,} images of {paths[0]}.")
        if labels.max() >= len(self.classes):
            raise BadData(f"{paths[1]} has the label {labels.max()}; labels are from 0 to {len(self.classes) - 1}.")
        found = {f"{self.title}'s {name}": x for name, x in zip(names, (images_file, labels_file), strict=True)}
        source = source_of(found, SUMS, root)
        return Images.of(pixels[:, None], labels.to(torch.int64), self.classes, source)


@dataclass(frozen=True)
class FashionMnist(Mnist):
    """Clothes and shoes."""

    root: str = option(DEBIAN, "folder with the official files; the default is that of Debian's dataset-fashion-mnist")

    classes: ClassVar[tuple[str, ...]] = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    title: ClassVar[str] = "fashion-mnist"


def _found(root: Path, name: str) -> Path:
    """The file, unpacked or packed, in the folder or where torchvision puts it. Raises UsageError."""
    for below in (root, root / "raw", *sorted(root.glob("*MNIST/raw"))):
        for spelt in (name, f"{name}.gz", name.replace("-idx", ".idx")):
            if (below / spelt).is_file():
                return below / spelt
    raise UsageError(f"{root} has no {name}.gz, and no {name}: give the folder with the official files as root.")
