"""The affine Gaussian GAN: its exact form is what samples tend to."""

from __future__ import annotations

import torch

import counterplay as cp
from counterplay.core.derivatives.local import LocalGame
from counterplay.core.game.tree import ravel

from ...support.cases import F64, close, started


def test_the_exact_affine_gaussian_is_what_samples_tend_to():
    """Loss and gradient of 200,000 samples, within their sampling error; the integral is smooth at theta = 0."""
    exact = cp.make("game", "affine-gaussian", exact=True)
    sampled = cp.make("game", "affine-gaussian", batch=200_000)
    params = {
        "generator": {"value": torch.tensor([0.3, 3.5], dtype=F64)},
        "discriminator": {"value": torch.tensor([0.4, -0.2], dtype=F64)},
    }
    found = []
    for game in (exact, sampled):
        table, _, batch = started(game)
        local = LocalGame.of(table, params, batch)
        found.append(torch.cat([ravel(local.gradient()), torch.stack(list(local.losses().values()))]))
    assert float((found[0] - found[1]).abs().max()) < 5e-3
    finer = started(cp.make("game", "affine-gaussian", exact=True, nodes=40))
    close(ravel(LocalGame.of(finer[0], params, finer[2]).gradient()), found[0][:4], 1e-12)
