"""The projection game: outputs and losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ...support.cases import F64, generator
from ...support.toys import make


def test_projection_game():
    """28 parameters each; outputs in S, never at P; the loss by hand."""
    game = make("projection")
    params, batch = game.init(generator(4)), game.buffers(generator())
    assert {i: sum(x.numel() for x in t.values()) for i, t in params.items()} == {"generator": 28, "discriminator": 28}
    g, d = params["generator"], params["discriminator"]
    x, y = (g["output"] @ (g["hidden"] @ g["input"].atan()).atan()).tolist()
    made = [math.exp(math.atan(y) / math.pi + x), math.exp(math.atan(y) / math.pi - x)]
    assert game.show(params, batch)[0].tolist() == pytest.approx(made)
    assert [float(v) for v in game.metrics(params, batch).values()] == pytest.approx(made)

    def score(point):
        seen = torch.tensor([point[0], 1e-2 * point[1]], dtype=F64)
        return float((d["output"] @ (d["hidden"] @ (d["input"] @ seen).atan()).atan()).atan())

    f = score([2.0, 2.0]) - score(made)
    own = game.losses(params, batch)
    assert [float(own["generator"]), float(own["discriminator"])] == pytest.approx([f, -f])


def test_the_generator_cannot_reach_the_target():
    """log(x y)/2 = s lies in (-1/2, 1/2); at P it is log 2 = .69. With x = 2 the best y is e/2."""
    game = make("projection", std=3.0)
    batch = game.buffers(generator())
    points = torch.cat([game.show(game.init(generator(seed)), batch) for seed in range(200)])
    s = points.log().sum(1) / 2
    assert float(s.abs().max()) < 0.5 < math.log(2)


def test_identity_eta_is_an_option():
    game = make("projection", eta=[1, 1])
    assert game.buffers(generator())["eta"].tolist() == [1.0, 1.0]
