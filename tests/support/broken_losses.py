"""Losses, and what is added to them, that break one promise each, and the check that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import counterplay as cp


@dataclass(frozen=True)
class SoundLoss(cp.Loss):
    """Least squares, both players."""

    def f_fake(self, d: Tensor) -> Tensor:
        return (d - 1) ** 2

    def g_real(self, d: Tensor) -> Tensor:
        return (d - 1) ** 2

    def g_fake(self, d: Tensor) -> Tensor:
        return d**2


class Relative(SoundLoss):
    def f_fake(self, d):
        return (d - d.mean()) ** 2


class Logarithm(SoundLoss):
    def g_fake(self, d):
        return d.log()


class ClaimsZeroSum(SoundLoss):
    zero_sum = True


class DetachedLoss(SoundLoss):
    def g_fake(self, d):
        return d * d.detach()


BROKEN_LOSSES = [
    (Relative, "finite and elementwise"),
    (Logarithm, "finite and elementwise"),
    (ClaimsZeroSum, "zero_sum holds"),
    (DetachedLoss, "a game with it passes the checks of games"),
]


@dataclass(frozen=True)
class SoundRegularizer(cp.Regularizer):
    """Pulls the first player to the origin."""

    weight: float = cp.option(0.1, "strength of the pull")

    def penalties(self, game: cp.Game, params: cp.Params, batch: Any) -> dict[str, Tensor]:
        i = game.players[0]
        return {i: self.weight * torch.stack([x.square().sum() for x in params[i].values()]).sum()}


class NoisyPenalty(SoundRegularizer):
    def penalties(self, game, params, batch):
        return {i: x * torch.rand(()) for i, x in super().penalties(game, params, batch).items()}


class UnseededNoise(SoundRegularizer):
    def sample(self, game, rng, batch):
        return {**batch, "real": batch["real"] + torch.randn(batch["real"].shape)}


class DetachedPenalty(SoundRegularizer):
    def penalties(self, game, params, batch):
        return {i: x * x.detach() for i, x in super().penalties(game, params, batch).items()}


class MixesQuietly(SoundRegularizer):
    """A penalty of the first player that holds the second's parameters, without saying that it mixes them."""

    def penalties(self, game, params, batch):
        a, b = (torch.stack([x.sum() for x in t.values()]).sum() for t in params.values())
        return {game.players[0]: a * b}


class BreaksOnOthers(SoundRegularizer):
    def penalties(self, game, params, batch):
        return {}

    def check(self, game):
        _ = game.discriminate


BROKEN_REGULARIZERS = [
    (NoisyPenalty, "losses are pure"),
    (UnseededNoise, "the seed decides"),
    (DetachedPenalty, "gradient against finite differences"),
    (MixesQuietly, "zero_sum holds"),
    (BreaksOnOthers, "a game it does not suit is refused in words"),
]
