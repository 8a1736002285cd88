"""CIFAR-10 from its binary version: 50,000 and 10,000 colour images of 32x32 pixels, in 10 classes.

Krizhevsky (2009), "Learning multiple layers of features from tiny images". A record is a label and 3,072 pixels, all
red ones first. The python version is a pickle, which could run code when it is read: it is refused.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, cast

import torch

from ...core.errors import BadData, UsageError
from ...core.images.dataset import Dataset, Images
from ...core.options import option
from .files import BLOCK, Bounded, opened, source_of, take, take_all

ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test": ("test_batch.bin",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD, RECORDS = 1 + 3 * 32 * 32, 10_000  # bytes of a record, records of an official file
MOST_RECORDS = RECORD * RECORDS  # bytes of one file
MOST, MEMBERS = 1 << 28, 1000  # bytes of the archive, unpacked, and files in it: it has 184 million, and 8
SUMS = {  # SHA-1
    "aadd24acce27caa71bf4b10992e9e7b2d74c2540": "data_batch_1.bin",
    "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795": "data_batch_2.bin",
    "1dd00a74ab1d17a6e7d73e185b69dbf31242f295": "data_batch_3.bin",
    "aab85764eb3584312d3c7f65fd2fd016e36a258e": "data_batch_4.bin",
    "26e2849e66a845b7f1e4614ae70f4889ae604628": "data_batch_5.bin",
    "67eb016db431130d61cd03c7ad570b013799c88c": "test_batch.bin",
}
WANTED = f"{ARCHIVE}, or the folder {FOLDER} that is in it"
PICKLES = ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1", "data_batch_1.pkl")


@dataclass(frozen=True)
class Cifar10Images(Dataset):
    """Animals and vehicles. A single file of records, as data_batch_1.bin, is read alone where it is given as root."""

    root: str = option(help=f"folder with {WANTED}; or one of these itself")
    split: Literal["train", "test"] = option("train", "which of them")

    def load(self) -> Images:
        found = self._files(Path(self.root).expanduser())
        records = torch.cat([torch.frombuffer(data, dtype=torch.uint8) for data in found.values()]).reshape(-1, RECORD)
        labels = records[:, 0].to(torch.int64)
        return Images.of(
            records[:, 1:].reshape(-1, 3, 32, 32), labels, CLASSES, source_of(found, SUMS, Path(self.root))
        )

    def _files(self, root: Path) -> dict[str, bytearray]:
        """The files of the split by name, from a folder, an archive, or a single file."""
        names = FILES[self.split]
        if root.name in PICKLES and root.exists():
            raise _pickled(root)
        if root.is_dir():
            for below in (root, root / FOLDER):
                if any((below / name).exists() for names in FILES.values() for name in names):
                    return _from_folder(below, names)
            root = _archive_in(root)
        elif not root.exists():
            raise UsageError(f"{root} does not exist: give the folder with {WANTED} as root. Nothing is downloaded.")
        return _from_folder(root.parent, (root.name,)) if root.suffix == ".bin" else _from_archive(root, names)


def _archive_in(root: Path) -> Path:
    """The archive in a folder. Raises UsageError, also where only the python version is there."""
    if (root / ARCHIVE).exists():
        return root / ARCHIVE
    for name in PICKLES:
        if (root / name).exists():
            raise _pickled(root / name)
    raise UsageError(f"{root} has neither {ARCHIVE} nor {FILES['train'][0]}: give the folder with {WANTED} as root.")


def _pickled(path: Path) -> BadData:
    return BadData(
        f"{path} is the python version, a pickle, which could run code when it is read. "
        f"Get the binary version, {ARCHIVE}."
    )


def _from_folder(folder: Path, names: tuple[str, ...]) -> dict[str, bytearray]:
    """The records of unpacked files. Raises UsageError if one of them is missing, BadData if one is damaged."""
    found = {}
    for name in names:
        with opened(folder / name, f"the folder with {WANTED} as root, or one file of records") as file:
            found[name] = _checked(take_all(file, MOST_RECORDS, folder / name), folder / name)
    return found


def _from_archive(path: Path, names: tuple[str, ...]) -> dict[str, bytearray]:
    """The records of files in the archive, which are read in place: nothing is written, and no link is followed."""
    found: dict[str, bytearray] = {}
    with opened(path, WANTED) as packed:
        stream = Bounded(packed, MOST, path)
        try:
            with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as archive:
                for member in islice(archive, MEMBERS):
                    name = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                    if name in names:
                        found[name] = _member(archive, member, path, name in found)
                    elif PurePosixPath(name).name in PICKLES:
                        raise _pickled(path)
        except tarfile.TarError as error:
            raise BadData(f"{path} is no {ARCHIVE}: {error}. The binary version is expected.") from error
        while stream.read(BLOCK):  # to its end, where the checksum is
            pass
    if missing := [name for name in names if name not in found]:
        raise BadData(f"{path} lacks {', '.join(missing)}: it is no {ARCHIVE}, or was cut short. Get it again.")
    return {name: found[name] for name in names}


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, again: bool) -> bytearray:
    """The records of one file of the archive. Raises BadData unless it is a plain file, and there once."""
    inside = path / member.name
    file = archive.extractfile(member) if member.isreg() and not member.issparse() and not again else None
    if file is None or not 0 < member.size <= MOST_RECORDS:
        raise BadData(f"{inside} is no plain file of at most {RECORDS:,} records, as in the official archive.")
    return _checked(take(cast(BinaryIO, file), member.size, inside, "the file"), inside)


def _checked(data: bytearray, path: Path) -> bytearray:
    """Whole records with labels from 0 to 9. Raises BadData."""
    if not data or len(data) % RECORD:
        raise BadData(
            f"{path} has {len(data):,} bytes; records of {RECORD:,} bytes are expected, a label and 3 x 32 x 32 pixels."
        )
    if (largest := max(data[::RECORD])) >= len(CLASSES):
        raise BadData(f"{path} has the label {largest}; labels are from 0 to {len(CLASSES) - 1}.")
    return data
