"""Games whose field is v = A theta + c, for any number of players."""

from __future__ import annotations

import pytest
import torch

from counterplay.core.game.tree import ravel

from .cases import F64, diagonal_blocks, generator, matrix_game, random, random_matrix


def affine(sizes, seed, opposed=False):
    A, c = random_matrix(sizes, seed, opposed), random(sum(sizes), seed=seed + 100)
    game = matrix_game(A, sizes, shift=c, zero_sum=opposed)
    params = game.init(generator())
    return game, params, A, A @ ravel(params) + c


def off(A, sizes):
    return A - diagonal_blocks(A, sizes)


def own_rows(sizes, values):
    return torch.cat([torch.full((n,), float(x), dtype=F64) for n, x in zip(sizes, values, strict=True)])


SIZES = {"two players": (2, 3), "three players": (2, 3, 1), "four players": (1, 1, 2, 2)}
PLAYERS = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
