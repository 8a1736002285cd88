"""PNG and JPEG files in a folder, in the order of their paths. The folders in it, if there are any, are the classes.

Of each picture the centre is cut out, a square, and brought to one side by Lanczos' filter. Pictures have one channel
where all of them are grey, else three. What is transparent is white. Folders in the folder of a class are read too, and
belong to it. Pictures beside folders of pictures are refused. Other files and hidden ones are left out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ...core.errors import UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import Count, option
from ...core.terminal.waiting import told
from .files import folder, opened
from .pictures import GREY, decoded, pillow, squared

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ImageFolder(Dataset):
    """CelebA is such a folder, and so is any of one's own pictures."""

    root: str = option(help="folder of PNG or JPEG files, or of one folder of them for each class")
    side: Count = option(64, "pixels of a side of the images that are made")
    crop: Count | None = option(None, "pixels of a side of the square cut from the centre; by default the largest")

    def known_classes(self) -> tuple[str, ...] | None:
        try:
            return tuple(name for name in self._files()[0] if name)
        except (UsageError, OSError):
            return None  # which is told when it is read

    def _files(self) -> tuple[dict[str, list[Path]], int]:
        """The pictures of each class, "" being none, and how many other files there are. Raises UsageError."""
        root = folder(self.root, "PNG or JPEG files, or with a folder of them for each class,")
        listed = {name: _files(root / name, below=name != "") for name in ("", *_folders(root))}
        files = {name: [p for p in paths if p.suffix.lower() in SUFFIXES] for name, paths in listed.items()}
        files = {name: paths for name, paths in files.items() if paths}
        if not files:
            raise UsageError(f"{root} has no files that end in {', '.join(SUFFIXES)}, nor has a folder in it.")
        if "" in files and len(files) > 1:
            raise UsageError(
                f"{root} has pictures beside folders of pictures, as {files[''][0].name}. A folder in it is a class: "
                "move these into one, or all into one folder without classes."
            )
        return files, sum(map(len, listed.values())) - sum(map(len, files.values()))

    def load(self) -> Images:
        files, left_out = self._files()
        count = sum(map(len, files.values()))
        pixels, grey = torch.empty(count, 3, self.side, self.side, dtype=torch.uint8), True
        with pillow():
            every = [path for paths in files.values() for path in paths]
            for n, path in enumerate(told(every, f"{count:,} pictures in {self.root}")):
                grey &= self._read(path, pixels[n])
        if grey:
            pixels = pixels[:, :1].clone()
        source = f"{count:,} PNG or JPEG files" + (f"; {left_out:,} other files were left out" if left_out else "")
        if "" in files:
            return Images.of(pixels, source=source)
        sizes = torch.tensor([len(paths) for paths in files.values()])
        labels = torch.arange(len(files)).repeat_interleave(sizes)
        return Images.of(pixels, labels, tuple(files), source)

    def _read(self, path: Path, into: torch.Tensor) -> bool:
        """Read a picture, and whether it has no colour."""
        with opened(path, "a PNG or JPEG file") as file:
            image = decoded(file, path)
            if self.crop is not None and self.crop > min(image.size):
                raise UsageError(
                    f"{path} has {image.width}x{image.height} pixels: give a smaller crop than {self.crop}."
                )
            into.copy_(squared(image, self.side, self.crop))
            return image.mode in GREY


def _folders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(place: Path, below: bool) -> list[Path]:
    """The files in a folder that are not hidden, in the order of their paths; with ``below`` also of folders in it."""
    found = []
    for here, folders, names in os.walk(place):
        folders[:] = [name for name in folders if below and not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".")]
    return sorted(found)
