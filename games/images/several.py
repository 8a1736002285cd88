"""Several generators against several discriminators, each of them a player of its own.

Every generator i plays the loss l of the GAN against every discriminator j:

    generator i       1/m sum_j l_G(D_j(x), D_j(G_i(z_i)))
    discriminator j   1/n sum_i l_D(D_j(x), D_j(G_i(z_i)))

Several discriminators: Durugkar, Gemp and Mahadevan (2017, arXiv 1611.01673), section 3. Several generators: Hoang et
al. (2018, arXiv 1708.02556), without their classifier. What is generated is the equal mixture of all generators.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ...core.game.tree import Batch, Buffers, Params, Player
from ...core.options import Count, option
from .images import ImagePlay


@dataclass(frozen=True)
class SeveralGans(ImagePlay):
    """The players are "generator_1", "generator_2", ..., "discriminator_1", ...; all have the same networks."""

    sample_axes = MappingProxyType({**ImagePlay.sample_axes, "noise": 1})

    generators_: Count = option(2, "how many generators, n")
    discriminators_: Count = option(1, "how many discriminators, m")

    @property
    def players(self) -> tuple[Player, ...]:  # type: ignore[override]
        """All generators, then all discriminators."""
        return (*self.generators, *self._discriminators)

    @property
    def generators(self) -> tuple[Player, ...]:
        return tuple(f"generator_{n + 1}" for n in range(self.generators_))

    @property
    def _discriminators(self) -> list[Player]:
        return [f"discriminator_{n + 1}" for n in range(self.discriminators_)]

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        """With as many generators as discriminators the mixed derivatives of a zero-sum loss are opposite."""
        return self.loss.zero_sum and self.generators_ == self.discriminators_

    def init(self, rng: torch.Generator) -> Params:
        own = {i: self.first_generator(rng) for i in self.generators}
        return {**own, **{j: self.first_discriminator(rng) for j in self._discriminators}}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """Every generator has noise of its own, (n, B, Z)."""
        batch = super().sample(rng, buffers)
        more = [self.noise(rng, self.batch) for _ in range(self.generators_ - 1)]
        return {**batch, "noise": torch.stack([batch["noise"], *more])}

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        n, m = self.generators_, self.discriminators_
        fakes = [self.generate(params[i], z, batch) for i, z in zip(self.generators, batch["noise"], strict=True)]
        found = {i: torch.zeros_like(batch["real"][0, 0, 0, 0]) for i in self.players}
        for j in self._discriminators:
            d_real = self.discriminate(params[j], batch["real"], batch)
            for i, fake in zip(self.generators, fakes, strict=True):
                pair = self.loss(d_real, self.discriminate(params[j], fake, batch))
                found[i] = found[i] + pair["generator"] / m
                found[j] = found[j] + pair["discriminator"] / n
        return found
