"""Data sets of pictures: a folder of them, and the emoji of a font."""

from __future__ import annotations

import os
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

import counterplay as cp

from ...support import data_files
from .harm import damaged, refuses


def colour(seed, size=(6, 6)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def put(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def loaded(root, **options):
    return cp.make("dataset", "folder", root=str(root), **options).load()


def test_folders_are_classes_in_the_order_of_paths(tmp_path):
    names = ["cat/b.png", "cat/a.PNG", "ape/deep/z.png", "ape/c.png"]
    for seed, name in enumerate(names):
        put(tmp_path / name, colour(seed), format="PNG")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "none").mkdir()
    put(tmp_path / "cat" / "._b.png", colour(9))
    images = loaded(tmp_path, side=6)
    assert images.classes == ("ape", "cat") and images.labels.tolist() == [0, 0, 1, 1]
    expected = np.stack([colour(n).transpose(2, 0, 1) for n in (3, 2, 1, 0)])
    assert np.array_equal(images.pixels.numpy(), expected)
    assert images.source == "4 PNG or JPEG files; 1 other files were left out"


def test_a_folder_without_folders_has_no_labels(tmp_path):
    put(tmp_path / "b.png", colour(1))
    put(tmp_path / "a.jpg", np.full((8, 8, 3), 77, np.uint8))
    images = loaded(tmp_path, side=6)
    assert images.labels is None and images.classes == () and images.shape == (3, 6, 6)
    assert set(images.pixels[0].flatten().tolist()) == {77}
    assert np.array_equal(images.pixels[1].numpy(), colour(1).transpose(2, 0, 1))


def test_the_centre_is_cut_out_and_brought_to_a_side(tmp_path):
    wide = colour(0, (4, 9))
    put(tmp_path / "a.png", wide)
    assert np.array_equal(loaded(tmp_path, side=4).pixels[0].numpy(), wide[:, 2:6].transpose(2, 0, 1))
    assert np.array_equal(loaded(tmp_path, side=2, crop=2).pixels[0].numpy(), wide[1:3, 3:5].transpose(2, 0, 1))
    refuses(cp.UsageError, "a.png has 9x4 pixels: give a smaller crop than 5", "folder", tmp_path, side=2, crop=5)
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # at a quarter of the side, a filter that does not alias gives grey
    put(tmp_path / "a.png", stripes)
    middle = loaded(tmp_path, side=16).pixels[0, :, 4:-4, 4:-4].float()
    assert (middle - 127.5).abs().max() < 3


def test_modes(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4)
    put(tmp_path / "8.png", grey)
    put(tmp_path / "9.png", grey.astype(np.uint16) * 257 + 3)  # 16 bits
    images = loaded(tmp_path, side=4)
    assert images.shape == (1, 4, 4)
    assert np.array_equal(images.pixels[:, 0].numpy(), np.stack([grey, grey]))
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (10, 20, 30, 255)  # the lower half is transparent, and its colour says nothing
    put(tmp_path / "a.png", clear)
    turned = Image.fromarray(colour(0, (4, 4))).convert("CMYK")
    turned.save(tmp_path / "b.jpg")
    images = loaded(tmp_path, side=4)
    assert images.shape == (3, 4, 4)
    assert np.array_equal(images.pixels[0].numpy(), np.stack([grey] * 3))
    assert images.pixels[2, :, 0, 0].tolist() == [10, 20, 30] and set(images.pixels[2, :, 2:].flatten().tolist()) == {
        255
    }


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    put(tmp_path / "a.png", colour(0), exif=exif)
    assert np.array_equal(loaded(tmp_path, side=6).pixels[0].numpy(), np.rot90(colour(0), -1).transpose(2, 0, 1))


def test_words_for_what_is_wrong(tmp_path):
    refuses(cp.UsageError, "nowhere does not exist: give the folder with PNG or JPEG", "folder", tmp_path / "nowhere")
    refuses(cp.UsageError, "has no files that end in .png, .jpg, .jpeg", "folder", tmp_path)
    put(tmp_path / "cat" / "a.png", colour(0))
    put(tmp_path / "b.png", colour(0))
    refuses(cp.UsageError, "pictures beside folders of pictures, as b.png", "folder", tmp_path)
    (tmp_path / "b.png").unlink()
    for data in (b"", b"\x80\x04pickle", b"GIF89a" + bytes(20)):
        (tmp_path / "cat" / "b.png").write_bytes(data)
        refuses(cp.BadData, "b.png is neither PNG nor JPEG", "folder", tmp_path)
    (tmp_path / "cat" / "b.png").unlink()
    os.mkfifo(tmp_path / "cat" / "b.png")
    refuses(cp.UsageError, "b.png is a folder, a pipe or a device", "folder", tmp_path)


def test_a_picture_that_claims_too_many_pixels(tmp_path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for side in (10_000, 60_000):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")))
        refuses(cp.BadData, "a.png claims more than 89,478,485 pixels", "folder", tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damage(suffix, tmp_path):
    """Pillow checks the sums of most of a PNG, and none of a JPEG; what it reads then are whole images."""
    path = tmp_path / f"a.{suffix}"
    put(path, colour(0, (20, 20)))
    damaged(path, lambda: loaded(tmp_path, side=8), 40)


def test_emoji(tmp_path):
    """On a white square, in the order of the glyphs, each once."""
    high = np.zeros((8, 4, 4), np.uint8)
    high[..., 1], high[..., 3] = 200, 255
    data_files.emoji_font(
        tmp_path / "a.ttf",
        [data_files.png(colour(0)), data_files.png(high), data_files.png(colour(0)), data_files.png(colour(1))],
    )
    images = cp.make("dataset", "emoji", file=str(tmp_path / "a.ttf"), side=8).load()
    assert len(images) == 3 and images.shape == (3, 8, 8) and images.labels is None
    assert images.source == "3 distinct glyphs of a.ttf"
    assert np.array_equal(images.pixels[1, :, :, 2:6].numpy(), high[..., :3].transpose(2, 0, 1))
    assert set(images.pixels[1, :, :, [0, 1, 6, 7]].flatten().tolist()) == {255}


def test_words_for_other_fonts(tmp_path):
    def refused(error, words):
        with pytest.raises(error, match=words):
            cp.make("dataset", "emoji", file=str(tmp_path / "a.ttf")).load()

    refused(cp.UsageError, "a.ttf cannot be opened: No such file.*Give NotoColorEmoji.ttf")
    (tmp_path / "a.ttf").write_bytes(b"\x80\x04pickle")
    refused(cp.BadData, "is no TrueType font")
    data_files.emoji_font(tmp_path / "a.ttf", [b"no picture"])
    refused(cp.BadData, "neither PNG nor JPEG")
    data_files.emoji_font(tmp_path / "a.ttf", [data_files.png(colour(0, (1025, 1)))])
    refused(cp.BadData, "has a picture of 1x1025 pixels")
    font = tmp_path / "a.ttf"
    data_files.emoji_font(font, [data_files.png(colour(0)), data_files.png(colour(1))])
    font.write_bytes(font.read_bytes().replace(b"CBDT", b"XBDT"))
    refused(cp.BadData, "without colour pictures")
    data_files.emoji_font(font, [data_files.png(colour(0)), data_files.png(colour(1))])
    damaged(font, lambda: cp.make("dataset", "emoji", file=str(font)).load(), 25)


def test_who_waits_is_told_and_classes_are_known_before_reading(tmp_path, monkeypatch, capsys):
    for n in range(3):
        put(tmp_path / f"{n}.png", colour(n))
    data = cp.make("dataset", "folder", root=str(tmp_path), side=4)
    data.load()
    assert data.known_classes() == () and capsys.readouterr().err == ""
    monkeypatch.setattr("counterplay.core.terminal.waiting.PATIENCE", -1.0)
    data.load()
    assert re.fullmatch(
        rf"reading 3 pictures in {re.escape(str(tmp_path))}: about 0:0\d left\n", capsys.readouterr().err
    )
    monkeypatch.setattr(type(data), "load", lambda _: pytest.fail("the pictures were read"))
    images = {"data": data, "network": "mlp"}
    with pytest.raises(cp.UsageError, match="trained on two classes of images or more"):
        cp.make("game", "images", **images, metrics=["kid"])
    game: Any = cp.make("game", "images", **images, conditional=True)
    with pytest.raises(cp.UsageError, match="needs images with labels"):
        _ = game.images
    game = cp.make("game", "images", **images, metrics=[{"name": "kid", "extractor": "a.pt"}])
    assert game.metrics_[0].extractor == "a.pt"


def test_a_check_says_what_was_read(tmp_path, cli):
    put(tmp_path / "d" / "cat" / "a.png", colour(0))
    put(tmp_path / "d" / "ape" / "b.png", colour(1))
    code, out, _ = cli("check", "dataset", "folder", "-o", f"root={tmp_path / 'd'}", "-o", "side=4")
    assert code == 0 and "formed as they should be: 2 images of 3x4x4, 2 classes (ape, cat)\n" in out
    put(tmp_path / "d" / "c.png", colour(2))
    code, _, err = cli("check", "dataset", "folder", "-o", f"root={tmp_path / 'd'}", "-o", "side=4")
    assert code == 2 and err.rstrip().endswith("into one folder without classes.")  # no advice that was followed
