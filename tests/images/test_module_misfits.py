"""Modules that do not fit the images, the noise or the classes: said are the player, what it gets and what it takes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import counterplay as cp

SIMGD = cp.make("solver", "simgd")


def G(latent=3, shape=(1, 8, 8)):
    return nn.Sequential(nn.Linear(latent, math.prod(shape)), nn.Unflatten(1, shape))


def D(pixels=64, logits=1, *more):
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, logits), *more)


class Then(nn.Module):
    """Another module, and what is done to its output; with ``classes`` an embedding of so many is added."""

    def __init__(self, module, then=lambda x: x, classes=None):
        super().__init__()
        self.module, self.then = module, then
        self.of = None if classes is None else nn.Embedding(classes, 1)

    def forward(self, x, *y):
        made = self.module(x)
        added = self.of(*y).reshape(-1, *[1] * (made.dim() - 1)) if self.of is not None else 0
        return self.then(made + added)


class Failing(Then):
    def forward(self, x):
        raise ValueError("I do not like it.")


def differences(nets, batch):
    d_real, d_fake = nets["discriminator"](batch["real"]), nets["discriminator"](nets["generator"](batch["noise"]))
    return {"generator": -d_fake.mean(), "discriminator": (d_fake - d_real).mean()}


def levels(rng):
    return {"real": torch.ones(4, 1, 8, 8, dtype=torch.uint8), "noise": torch.randn(4, 3, generator=rng)}


OWN, CLASSES = {"losses": differences}, {"conditional": True}
IMAGES, LOGITS = "expected: images like the data, of shape (4, 1, 8, 8)", "a logit of each, of shape (4,) or (4, 1)"
NOISE = "a tensor of shape (4, 3) and type float32"

MISFITS: dict[str, Any] = {
    "latent": ([G(5), D()], {}, ["generator: its layer 0, Linear, cannot take " + NOISE, "expected: (..., 5)",
                                 "Noise is (B, 3), images are (B, 1, 8, 8)."]),
    "latent, own losses": ([G(5), D()], OWN, ["generator: its layer 0, Linear", "expected: (..., 5)"]),
    "side": ([G(3, (1, 7, 7)), D(49)], {}, ["generator: its module gives", "(4, 1, 7, 7)", IMAGES]),
    "side, own losses": ([G(3, (1, 7, 7)), D()], OWN, ["discriminator: its layer 1, Linear, ", "(4, 49)", "(..., 64)"]),
    "channels": ([G(3, (3, 8, 8)), D(192)], {}, ["generator: its module gives", "(4, 3, 8, 8)", IMAGES]),
    "flat": ([nn.Linear(3, 64), D()], {}, ["generator", IMAGES, "end it with nn.Unflatten(1, (1, 8, 8))"]),
    "all at once": ([G(5, (3, 7, 7)), D(10, 2)], CLASSES, ["generator: its module, Sequential, takes (input)"]),
    "fewer": ([Then(G(), lambda x: x[:2]), D()], {}, ["generator", "shape (2, 1, 8, 8)", IMAGES]),
    "whole": ([Then(G(), lambda x: (9 * x).int()), D()], {}, ["generator", "type int32", IMAGES]),
    "dict": ([Then(G(), lambda x: {"x": x}), D()], {}, ["generator: its module gives a dict", IMAGES]),
    "two logits": ([G(), D(64, 2)], {}, ["discriminator: its module gives", "shape (4, 2)", LOGITS]),
    "one logit": ([G(), Then(D(), lambda x: x.sum())], {}, ["discriminator: its module gives", "shape ()", LOGITS]),
    "logit of one": ([G(), Then(D(), lambda x: x[:1, 0])], {}, ["discriminator", "shape (1,)", LOGITS]),
    "no logit": ([G(), Then(D(), lambda x: None)], {}, ["discriminator: its module gives None", LOGITS]),
    "conv": ([G(), nn.Sequential(nn.Conv2d(3, 1, 8))], {}, ["layer 0, Conv2d", "(4, 1, 8, 8)", "(B, 3, H, W)"]),
    "norm": ([G(), D(64, 9, nn.BatchNorm1d(8))], {}, ["layer 2, BatchNorm1d", "shape (4, 9)", "(B, 8, ...)"]),
    "of its own": ([G(), Failing(D())], {}, ["discriminator: its module, Failing", "ValueError: I do not like it"]),
    "no classes taken": ([Then(G()), D()], CLASSES, ["discriminator: its module, Sequential, takes (input), and was "
                                                     "given", "classes (B,) from 0 to 9."]),
    "few classes": ([Then(G(), classes=4), Then(D())], CLASSES, ["generator: its layer of, Embedding", "0 to 3"]),
    "double": ([G().double(), D().double()], {}, ["generator: its layer 0, Linear, cannot take " + NOISE,
                                                  "(..., 3) of type float64, as its weights are", 'dtype="float64"']),
    "made double": ([G(), nn.Sequential(Then(nn.Flatten(), torch.Tensor.double), nn.Linear(64, 1))], {},
                    ["its layer 1, Linear, ", "type float64; ", "of type float32", "The module itself makes"]),
    "levels": ([G(), D()], {"data": None, "sample": levels}, ["layer 1, Linear", "uint8, from 1 to 1", "Draw floats"]),
    "no data set": ([G(), D()], {"data": 3}, ["data is a int; a data set or its name"]),
}  # fmt: skip


@pytest.mark.parametrize("what", MISFITS)
def test_who_does_not_fit_is_named_with_what_it_gets_and_what_is_expected(what):
    (first, second), given, words = MISFITS[what]
    options: Any = {"losses": "wgan", "data": "digits", "latent": 3, "batch": 4, **given}
    with pytest.raises(cp.UsageError) as error:
        cp.run(cp.game_from_modules({"generator": first, "discriminator": second}, **options), SIMGD, steps=2)
    said = str(error.value)
    assert all(w in said for w in words) and said.startswith(("player ", "data ")) and "\n" not in said, said


def test_a_class_that_comes_late_is_out_of_range_in_a_replay_too():
    players = {"generator": Then(G()), "discriminator": Then(D(), classes=9)}
    game = cp.game_from_modules(players, "wgan", data="digits", latent=3, batch=1, conditional=True)
    with pytest.raises(cp.UsageError, match=r"its layer of, Embedding, .* from 9 to 9; expected: whole .* 0 to 8"):
        cp.run(game, SIMGD, steps=60, trace=True)


class Loading(cp.Dataset):
    def __init__(self, what):
        self.what = what

    def load(self):
        return self.what


PIXELS = torch.zeros(5, 1, 8, 8, dtype=torch.uint8)
GOOD = cp.Images.of(PIXELS, torch.arange(5), "abcde")


@pytest.mark.parametrize(
    ("loaded", "words"),
    [
        (PIXELS, r"loads counterplay.Images.of\(pixels, ...\); got a Tensor"),
        (replace(GOOD, pixels=PIXELS / 3), r"uint8 of shape \(N, C, H, W\) .*; got float32"),
        (replace(GOOD, pixels=PIXELS[0]), r"got uint8 of shape \(1, 8, 8\)"),
        (replace(GOOD, pixels=PIXELS[:0]), r"got uint8 of shape \(0, 1, 8, 8\)"),
        (replace(GOOD, classes=(*"abcd",)), r"one whole number from 0 to 3 .* from 0 to 4"),
        (replace(GOOD, labels=torch.rand(5)), r"for each of the 5 images, int64; got float32 of shape \(5,\)"),
    ],
)
def test_what_a_data_set_loads_is_checked(loaded, words):
    game = cp.game_from_modules({"generator": G(), "discriminator": D()}, "wgan", data=Loading(loaded))
    with pytest.raises(cp.UsageError, match=words):
        cp.run(game, SIMGD, steps=1)
