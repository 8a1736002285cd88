"""Images in arrays: .npy, .npz and .safetensors."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

import counterplay as cp

from ...support import data_files
from .harm import damaged

PIXELS, LABELS = data_files.drawn(6, (3, 8, 10))


def loaded(path, **options):
    return cp.make("dataset", "arrays", file=str(path), **options).load()


def refuses(error, words, path, **options):
    with pytest.raises(error, match=words):
        loaded(path, **options)


def write(path, **arrays):
    if path.suffix == ".npy":
        np.save(path, arrays["images"])
    elif path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_layouts_and_types(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    for array in (PIXELS, PIXELS.transpose(0, 2, 3, 1), np.asfortranarray(PIXELS), PIXELS.astype(np.float32) / 255,
                  PIXELS.astype(np.float64) / 127.5 - 1, (PIXELS / 255).astype(">f8").astype("f8")):  # fmt: skip
        write(path, images=array)
        images = loaded(path)
        assert np.array_equal(images.pixels.numpy(), PIXELS) and images.labels is None, array.dtype
    write(path, images=PIXELS[:, 0])
    assert np.array_equal(loaded(path).pixels.numpy(), PIXELS[:, :1])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_labels_and_names(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(path, images=PIXELS, labels=LABELS)
    images = loaded(path)
    assert np.array_equal(images.labels.numpy(), LABELS) and images.classes == tuple(map(str, range(LABELS.max() + 1)))
    write(path, x_train=PIXELS, y_train=LABELS.astype(np.int64))
    refuses(cp.UsageError, "has no array 'images'; it has x_train, y_train: name one as images", path)
    assert np.array_equal(loaded(path, images="x_train", labels="y_train").labels.numpy(), LABELS)
    refuses(cp.UsageError, "no array 'y'", path, images="x_train", labels="y")


def test_labels_of_a_npy_are_another(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    np.save(tmp_path / "b.npy", LABELS)
    images = loaded(tmp_path / "a.npy", labels=str(tmp_path / "b.npy"))
    assert np.array_equal(images.labels.numpy(), LABELS)


def test_a_npy_is_mapped_not_read(tmp_path):
    """More images than there is memory for: 2 TiB, of a file that takes none on the disk."""
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**31, 32, 32)})
        os.truncate(path, file.tell() + 2**41)
    from counterplay.games.data import arrays

    mapped = arrays._mapped(path)
    pixels, _ = arrays._pixels(mapped, path)
    assert pixels.shape == (2**31, 1, 32, 32) and int(pixels[2**30, 0, 5, 5]) == 0


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (PIXELS.astype(np.int64), "images of type int64; uint8 or floats"),
        (PIXELS.astype(np.float32), "floats from 0 to 255; floats from 0 to 1"),
        (np.full((2, 8, 8), np.nan), "floats from nan to nan"),
        (np.zeros((8, 8), np.uint8), r"array of shape \(8, 8\); images are"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"array of shape \(2, 8, 8, 4\); images are"),
        (np.zeros((2, 3, 8, 3), np.uint8), r"array of shape \(2, 3, 8, 3\); images are"),
        (np.zeros((0, 8, 8), np.uint8), "no numbers"),
        (np.array([{"a": 1}]), "Python objects, which are a pickle"),
        (np.zeros((2, 8, 8), np.complex64), "array of complex64; an array of numbers"),
        (np.zeros((2, 8, 8), [("é", "u1")]), "version 3|array of"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_words_for_other_arrays(suffix, array, words, tmp_path):
    path = tmp_path / f"a{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, **{"arr" if suffix == ".npy" else "images": array})
    refuses(cp.BadData, words, path)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS[:-1], r"shape \(5,\); 6 integers"),
        (LABELS.astype(np.float32), "type float32"),
        (LABELS.astype(np.int64) - 20, "labels from -"),
        (LABELS.astype(np.int64) + 2**40, "they are from 0 to at most 65535"),
    ],
)
def test_words_for_other_labels(labels, words, tmp_path):
    write(tmp_path / "a.npz", images=PIXELS, labels=labels)
    refuses(cp.BadData, f"a.npz/labels has .*{words}", tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", PIXELS)
    np.save(tmp_path / "b.npy", labels)  # the file that is wrong is named
    refuses(cp.BadData, f"b.npy has .*{words}", tmp_path / "a.npy", labels=str(tmp_path / "b.npy"))


def test_words_for_other_files(tmp_path):
    for suffix in (".npy", ".npz", ".safetensors"):
        path = tmp_path / f"a{suffix}"
        refuses(cp.UsageError, "cannot be opened: No such file", path)
        path.write_bytes(b"\x80\x04\x95pickle" + bytes(30))
        refuses(cp.BadData, "damaged or of another format", path)
        path.unlink()
        os.mkfifo(path)
        refuses(cp.UsageError, "a folder, a pipe or a device", path)
    refuses(cp.UsageError, "a.pt is none of .npy, .npz, .safetensors", tmp_path / "a.pt")


def head(shape, descr="|u1"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


def test_what_claims_to_be_large(tmp_path, monkeypatch):
    from counterplay.games.data import arrays

    monkeypatch.setattr(arrays, "SMALL", 1 << 16)
    (tmp_path / "a.npy").write_bytes(head((2**40, 28, 28)) + bytes(100))
    refuses(cp.BadData, "100 bytes of numbers, and its head says", tmp_path / "a.npy")
    for name, data in (
        ("lying", head((2**40, 28, 28)) + bytes(100)),
        ("bomb", head((2**10, 32, 33)) + bytes(2**20 + 2**15)),
    ):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", data)
        words = {"lying": "and its head says", "bomb": "claims 1,081,"}[name]
        refuses(cp.BadData, words, tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_damage(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(path, images=PIXELS, labels=LABELS)
    damaged(path, lambda: loaded(path))
