"""Penalties on the discriminator's gradient with respect to its input.

gradient-penalty   weight * E (||grad_x D(x)|| - 1)^2   on points between real and generated samples
                   Gulrajani et al. (2017, arXiv 1704.00028), eq. 3
r1                 gamma/2 * E ||grad_x D(x)||^2        on real samples
r2                 the same                             on generated samples
                   Mescheder, Geiger and Nowozin (2018, arXiv 1801.04406), eq. 9-10
zero-centred       the same                             on points between real and generated samples
                   Thanh-Tung, Tran and Venkatesh (2019, arXiv 1902.03984)

The gradient is taken of the sum of D over the batch. This is each sample's own gradient, unless the discriminator uses
statistics of the batch; then it includes the effect of a sample on the logits of the others.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad

from ...core.errors import UsageError
from ...core.game.game import Game, GanGame, innermost
from ...core.game.regularizer import Regularizer, need_gan
from ...core.game.tree import Batch, Params, Player
from ...core.options import option

MIX = "gradient_penalty/mix"  # the entry of the batch that holds the share of the real sample in each point, (B,)


def input_gradient(game: GanGame, params: Params, x: Tensor, batch: Batch) -> Tensor:
    """grad_x of the discriminator's logits, sample by sample: (B, ...) flattened to (B, D)."""
    g = grad(lambda x: game.discriminate(params["discriminator"], x, batch).sum())(x)
    return g.reshape(g.shape[0], -1)


def between(game: GanGame, params: Params, batch: Batch) -> Tensor:
    """Points on the lines between real and generated samples, (B, ...)."""
    real = batch["real"]
    mix = batch[MIX].reshape(-1, *[1] * (real.dim() - 1))
    return mix * real + (1 - mix) * game.generated(params, batch)


def need_samples(name: str, game: Game) -> None:
    """Raise UsageError unless ``game`` is a GAN of samples. The lines between points of a quadrature mean nothing."""
    if getattr(innermost(need_gan(name, game)), "exact", False):
        raise UsageError(
            f"regularizer {name} needs samples, and this game integrates at fixed points: set exact=false."
        )


def drawn(rng: torch.Generator, batch: Batch) -> Batch:
    """``batch`` with the places of those points, one for each pair."""
    real = batch["real"]
    return {**batch, MIX: torch.rand(real.shape[0], generator=rng, dtype=real.dtype)}


@dataclass(frozen=True)
class GradientPenalty(Regularizer):
    """weight * E (||grad_x D|| - 1)^2 on points between real and generated samples, in the discriminator's loss."""

    mixes_players = True  # the points depend on the generator, and the generator's loss has no such term
    sample_axes = MappingProxyType({MIX: 0})
    weight: float = option(10.0, "lambda")

    def check(self, game: Game) -> None:
        need_samples("gradient-penalty", game)

    def sample(self, game: Game, rng: torch.Generator, batch: Batch) -> Batch:
        return drawn(rng, batch)

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        gan = need_gan("gradient-penalty", game)
        g = input_gradient(gan, params, between(gan, params, batch), batch)
        return {"discriminator": self.weight * (lengths(g) - 1).square().mean()}


def lengths(g: Tensor) -> Tensor:
    """||g|| of each row of ``g`` (B, D), with derivatives of every order; 0 where it is 0, which is a subgradient.

    Rows are scaled by powers of 2, which loses no digit: of a short one, 1/||g||^3 in the derivatives is no number.
    """
    largest = g.detach().abs().amax(1, keepdim=True)
    zero = largest == 0
    exponent = torch.where(zero, torch.ones_like(largest), largest).log2().floor().clamp(-100, 100)
    scaled = torch.where(zero, torch.ones_like(g), g * (-exponent).exp2())
    found = scaled.square().sum(1, keepdim=True).sqrt() * exponent.exp2()
    return torch.where(zero, torch.zeros_like(found), found)[:, 0]


@dataclass(frozen=True)
class _Centred(Regularizer):
    """gamma/2 * E ||grad_x D||^2 on the ``points`` of a subclass, in the discriminator's loss."""

    name: ClassVar[str]
    gamma: float = option(10.0, "weight")

    @abstractmethod
    def points(self, game: GanGame, params: Params, batch: Batch) -> Tensor:
        """Where the gradient is to be small, (B, ...)."""

    def check(self, game: Game) -> None:
        need_gan(self.name, game)

    def penalties(self, game: Game, params: Params, batch: Batch) -> dict[Player, Tensor]:
        gan = need_gan(self.name, game)
        g = input_gradient(gan, params, self.points(gan, params, batch), batch)
        return {"discriminator": self.gamma / 2 * g.square().sum(1).mean()}


@dataclass(frozen=True)
class R1(_Centred):
    """gamma/2 * E ||grad_x D(x)||^2 on real samples, in the discriminator's loss."""

    name = "r1"

    def points(self, game: GanGame, params: Params, batch: Batch) -> Tensor:
        real: Tensor = batch["real"]
        return real


@dataclass(frozen=True)
class R2(_Centred):
    """gamma/2 * E ||grad_x D(G(z))||^2 on generated samples, in the discriminator's loss."""

    name = "r2"
    mixes_players = True  # as for gradient-penalty

    def points(self, game: GanGame, params: Params, batch: Batch) -> Tensor:
        return game.generated(params, batch)


@dataclass(frozen=True)
class ZeroCentred(_Centred):
    """gamma/2 * E ||grad_x D||^2 on points between real and generated samples, in the discriminator's loss."""

    name = "zero-centred"
    mixes_players = True  # as for gradient-penalty
    sample_axes = MappingProxyType({MIX: 0})

    def check(self, game: Game) -> None:
        need_samples(self.name, game)

    def sample(self, game: Game, rng: torch.Generator, batch: Batch) -> Batch:
        return drawn(rng, batch)

    def points(self, game: GanGame, params: Params, batch: Batch) -> Tensor:
        return between(game, params, batch)
