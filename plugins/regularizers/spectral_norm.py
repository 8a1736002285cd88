"""Spectral normalisation: every weight matrix of one player divided by its largest singular value.

    W -> W / (u^T W v)

Miyato et al. (2018, arXiv 1802.05957), Alg. 1. Both u and v are buffers: they are renewed by a power iteration before
each step, and constant during it. If the loss recomputed v, it would be another function, with another Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...core.game.game import Game
from ...core.game.regularizer import Regularizer, need_player
from ...core.game.tree import Batch, Buffers, Params, Player, Tree
from ...core.options import Count, option


@dataclass(frozen=True)
class SpectralNorm(Regularizer):
    """W / sigma(W) for the weights of ``player``. Biases and other vectors stay as they are."""

    player: str = option("discriminator", "whose weights")
    iterations: Count = option(1, "power iterations before each step")

    def check(self, game: Game) -> None:
        need_player("spectral-norm", game, self.player)

    def _key(self, name: str, side: str) -> str:
        return f"spectral_norm/{self.player}/{name}/{side}"

    def buffers(self, game: Game, rng: torch.Generator, params: Params) -> Buffers:
        out: Buffers = {}
        for name, w in _matrices(params[self.player]).items():
            for side, size in zip("uv", w.shape, strict=True):
                vector = torch.randn(size, generator=rng, dtype=w.dtype)
                out[self._key(name, side)] = normalize(vector, dim=0)
        return out

    def refresh(self, game: Game, params: Params, buffers: Buffers) -> Buffers:
        out = dict(buffers)
        for name, w in _matrices(params[self.player]).items():
            u = out[self._key(name, "u")]
            for _ in range(self.iterations):
                v = normalize(w.mT @ u, dim=0)
                u = normalize(w @ v, dim=0)
            out[self._key(name, "u")], out[self._key(name, "v")] = u, v
        return out

    def reparametrise(self, game: Game, player: Player, tree: Tree, batch: Batch) -> Tree:
        if player != self.player:
            return tree
        out = dict(tree)
        for name, w in _matrices(tree).items():
            sigma = batch[self._key(name, "u")] @ (w @ batch[self._key(name, "v")])
            out[name] = tree[name] / sigma
        return out


def _matrices(tree: Tree) -> dict[str, Tensor]:
    """The weights of at least two dimensions as matrices (out, rest)."""
    return {k: x.reshape(x.shape[0], -1) for k, x in tree.items() if x.dim() >= 2}
