"""Games whose one loss is a function of a layer's output, and how far their J is from differences."""

from __future__ import annotations

import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import add, ravel, scale

from .cases import F64, difference, direction_like, random, started

X = random(6, 4)
START = {"a": {"w": random(4, 4, seed=1), "g": 1 + 0.1 * random(4, seed=2), "o": random(4, seed=3)}}


def field(f):
    """A game of one player with ``f`` in the middle."""
    return cp.game_from_losses(
        lambda p, b: {"a": (f(X @ p["a"]["w"], p["a"]["g"]).tanh() @ p["a"]["o"]).pow(3).mean()}, START
    )


def error(game, members=None, trace=False):
    """The error of J u against differences of v, relative to its largest number."""
    table, params, batch = started(game, members=members, trace=trace)
    if members:
        params = add(params, scale(direction_like(params, 1), torch.arange(members, dtype=F64) / 10))
    local, u = LocalGame.of(table, params, batch), direction_like(params, 2)
    slope = difference(lambda p: ravel(local.at(p).gradient(), members is not None), params, u)
    return float((ravel(local.jacobian().mv(u), members is not None) - slope).abs().max() / slope.abs().max())
