"""Interpolations of noise, nearest real images, and the sheets that show them."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import counterplay as cp
from counterplay.core.errors import UsageError
from counterplay.core.images.generator import Generator, interpolated, nearest
from counterplay.core.images.random_images import RandomImages
from counterplay.core.images.sheet import sheet

from ..support.cases import generator, random


def test_a_great_circle() -> None:
    a, b = torch.tensor([[2.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 2.0, 0.0]]).double()
    found = interpolated(a, b, 5)[0]
    angles = [k * math.pi / 8 for k in range(5)]
    assert found.numpy() == pytest.approx(np.array([[2 * math.cos(w), 2 * math.sin(w), 0] for w in angles]), abs=1e-14)


def test_the_ends_are_the_given_noise_and_lengths_stay_between() -> None:
    a, b = random(6, 40, seed=1), random(6, 40, seed=2)
    found = interpolated(a, b, 9)
    assert found.shape == (6, 9, 40) and found.dtype == a.dtype
    torch.testing.assert_close(found[:, 0], a, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found[:, -1], b, rtol=1e-13, atol=1e-13)
    unit = interpolated(a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True), 9).norm(dim=-1)
    torch.testing.assert_close(unit, torch.ones_like(unit), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("factor", [1.0, 3.0, -1.0, 0.0])
def test_noise_on_one_line_is_joined_by_a_straight_one(factor: float) -> None:
    a = random(1, 4)
    found = interpolated(a, factor * a, 3)
    torch.testing.assert_close(found[0, 1], (1 + factor) / 2 * a[0])


def test_the_nearest_images_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterplay.core.images.generator.BLOCK", 7)
    real = torch.randint(0, 256, (40, 3, 5, 4), generator=generator(1), dtype=torch.uint8)
    real[[3, 17, 30]] = real[9].clone()  # four that are alike, in three blocks
    images = torch.randint(0, 256, (6, 3, 5, 4), generator=generator(2), dtype=torch.uint8)
    images[0] = real[9]
    at, off = nearest(images, real, 5)
    squares = ((images[:, None].double() - real.double()) ** 2).flatten(2).mean(2)
    expected = [sorted(range(40), key=lambda n: (squares[r, n].item(), n))[:5] for r in range(6)]
    assert at.tolist() == expected and at[0, :4].tolist() == [3, 9, 17, 30]
    assert off.numpy() == pytest.approx(squares.gather(1, at).sqrt().numpy() / 255, rel=1e-14)
    black, white = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert nearest(black, white, 1)[1].item() == 1.0
    with pytest.raises(UsageError, match=r"have shape \(3, 5, 4\), the real ones \(1, 2, 2\)"):
        nearest(images, white, 1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_every_pixel_of_a_sheet_is_a_square_of_its_colour(channels: int, mode: str) -> None:
    images = torch.randint(0, 256, (2, 3, channels, 8, 8), generator=generator(), dtype=torch.uint8)
    drawn = Image.open(io.BytesIO(sheet(images)))
    assert drawn.mode == mode and drawn.size == (4 + 3 * 68, 4 + 2 * 68)
    pixels = np.array(drawn).reshape(*drawn.size[::-1], channels)
    for n in range(2):
        for k in range(3):
            cell = pixels[4 + 68 * n :, 4 + 68 * k :][:64, :64]
            assert (cell == images[n, k].permute(1, 2, 0).numpy().repeat(8, 0).repeat(8, 1)).all()
    assert (pixels[:4] == 255).all() and (pixels[:, :4] == 255).all() and (pixels[68:72] == 255).all()


def test_words_are_beside_the_images_and_not_on_them() -> None:
    images = torch.zeros(1, 2, 1, 64, 64, dtype=torch.uint8)
    drawn = np.array(Image.open(io.BytesIO(sheet(images, ["one", "two"], [["a", "b"]], ["row"]))))
    dark = drawn < 128
    ys, xs = np.nonzero(drawn == 0)
    assert dark[:20].any() and dark[-20:].any() and dark[:, :20].any(), "heading, caption, label"
    left = drawn.shape[1] - 2 * 68
    assert not drawn[20:84, left : left + 64].any() and not drawn[20:84, left + 68 : left + 132].any()
    assert len(ys) == len(xs) >= 2 * 64 * 64


class Doubling(cp.GanGame):
    """Its images show its noise: G(z) has z's first numbers as pixels."""

    loss = cp.make("loss", "non-saturating")

    def init(self, rng: torch.Generator) -> cp.Params:
        return {"generator": {"g": torch.ones(())}, "discriminator": {"d": torch.ones(())}}

    def generate(self, generator: cp.Tree, z: torch.Tensor, batch: cp.Batch) -> torch.Tensor:
        return generator["g"] * z.reshape(-1, 1, 2, 2)

    def discriminate(self, discriminator: cp.Tree, x: torch.Tensor, batch: cp.Batch) -> torch.Tensor:
        return discriminator["d"] * x.flatten(1).sum(1)

    def show(self, params: cp.Params, batch: cp.Batch) -> torch.Tensor:
        return self.generate(params["generator"], batch["noise"], batch)


def test_the_images_of_a_sheet_are_those_of_the_noise() -> None:
    game, z = Doubling(), torch.rand(6, 4, generator=generator())
    made = Generator(game, game.init(generator()), {"noise": z})
    grey = (z * 255).round().to(torch.uint8).reshape(6, 1, 2, 2)
    assert made.samples(1) == sheet(grey[None]) and made.samples(9) == sheet(grey[None])
    path = interpolated(z[:2], z[2:4], 3)
    shades = (path * 255).round().to(torch.uint8).reshape(2, 3, 1, 2, 2)
    assert made.interpolation(2, 3) == sheet(shades, ["0", "0.5", "1"])
    with pytest.raises(UsageError, match="there is noise for 3 rows, and 4 were asked for"):
        made.interpolation(4, 3)
    with pytest.raises(UsageError, match="the game Doubling does not say which its real images are"):
        made.neighbours(2, 2)


@pytest.mark.parametrize("name", ["mixture", "quadratic"])
def test_a_game_without_images(name: str) -> None:
    game = cp.make("game", name)
    params = game.init(generator())
    batch = game.gallery(generator(), game.buffers(generator()))
    with pytest.raises(UsageError, match="shows no images that are made from noise"):
        Generator(game, params, batch).samples(2)
    with pytest.raises(UsageError, match="shows no images that are made from noise"):
        Generator(game, params, batch).interpolation(1, 2)


@pytest.mark.parametrize("conditional", [False, True])
def test_several_generators_are_all_shown_on_the_same_noise(conditional: bool) -> None:
    data = RandomImages((1, 2, 2), 6)
    network = {"name": "mlp", "filters": 3, "latent": 4}
    game: Any = cp.make("game", "several-gans", data=data, batch=4, network=network, conditional=conditional)
    params, batch = game.init(generator()), game.gallery(generator(), game.buffers(generator()))
    made = Generator(game, params, batch)

    def by(player: str, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = game.generate(params[player], z, {**batch, "labels": labels})
        return ((images + 1) / 2 * 255).round().to(torch.uint8)

    players, z, y = ("generator_1", "generator_2"), batch["noise"], torch.arange(64) % 2
    both = torch.cat([by(i, z[:16], y[:16]) for i in players])
    assert made.samples(2) == sheet(both.unflatten(0, (4, 8)), labels=[i for i in players for _ in range(2)])
    path = interpolated(z[:2], z[2:4], 3).flatten(0, 1)
    both = torch.cat([by(i, path, y[:2].repeat_interleave(3)) for i in players])
    names = [f"{i}, {c}" if conditional else i for i in players for c in ("even", "odd")]
    assert made.interpolation(2, 3) == sheet(both.unflatten(0, (4, 3)), ["0", "0.5", "1"], labels=names)
    both = torch.cat([by(i, z[:2], y[:2]) for i in players])
    at, off = nearest(both, game.images.pixels, 1)
    beside = torch.cat([both[:, None], game.images.pixels[at]], 1)
    captions = [["", f"{x:.3f}"] for (x,) in off.tolist()]
    assert made.neighbours(2, 1) == sheet(beside, ["generated", "nearest 1"], captions, names)
