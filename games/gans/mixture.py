"""A ring of eight Gaussians, on which gradient descent jumps from mode to mode.

Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), section 5 and Fig. 2: radius 1, four hidden layers of 256
ReLU units in both networks, z of 64 standard normal numbers, RMSProp 1e-4, gamma 10, 10,000 steps. Nie and Patel
(2020, arXiv 1806.09235), Fig. 2: radius 2, z of variance 2. The width of the modes is not published; here it is 0.02.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.options import Count, NonNegative, option
from ..networks.sequential import Sequential, mlp
from .loss_by_name import GanWithLoss


@dataclass(frozen=True)
class Mixture(GanWithLoss):
    """Points (B, 2) from a ring of Gaussians, and two fully connected networks."""

    modes: Count = option(8, "Gaussians on the ring")
    radius: float = option(1.0, "of the ring")
    std: NonNegative = option(0.02, "of each Gaussian")
    latent: Count = option(64, "dimension of the noise z")
    latent_variance: NonNegative = option(1.0, "of each number of z")
    hidden: Count = option(256, "units of each hidden layer")
    layers: Count = option(4, "hidden layers of each network")
    batch: Count = option(256, "samples a step")
    loss: GanLoss = option("saturating", "GAN loss")

    metric_axes = MappingProxyType({"mode_share": ("centre",)})

    @cached_property
    def generator(self) -> Sequential:
        return Sequential(mlp(self.latent, self.hidden, self.layers, 2))

    @cached_property
    def discriminator(self) -> Sequential:
        return Sequential(mlp(2, self.hidden, self.layers, 1))

    @cached_property
    def centres(self) -> Tensor:
        """The means of the Gaussians, (modes, 2)."""
        angle = torch.arange(self.modes, dtype=torch.float32) * (2 * math.pi / self.modes)
        return self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)

    def init(self, rng: torch.Generator) -> Params:
        return {"generator": self.generator.init(rng), "discriminator": self.discriminator.init(rng)}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        mode = torch.randint(self.modes, (self.batch,), generator=rng)
        real = self.centres[mode] + self.std * torch.randn(self.batch, 2, generator=rng, dtype=torch.float32)
        noise = self.latent_variance**0.5 * torch.randn(self.batch, self.latent, generator=rng, dtype=torch.float32)
        return {**buffers, "real": real, "noise": noise}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return self.generator(generator, z)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return self.discriminator(discriminator, x).squeeze(1)

    def show(self, params: Params, batch: Batch) -> Tensor:
        return self.generate(params["generator"], batch["noise"], batch)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """``good_samples``: the share of samples within 4 std of a centre. ``modes_found``: centres that have any.

        ``mode_share``: the share of samples that are nearest to each centre, (modes,).
        """
        distance = torch.cdist(self.show(params, batch), self.centres.to(batch["noise"]))  # (B, modes)
        near, mode = distance.min(dim=1)
        good = near <= 4 * self.std
        good = good.to(torch.float32)
        found = torch.zeros(self.modes, device=good.device, dtype=torch.float32).scatter_reduce(0, mode, good, "amax")
        share = torch.nn.functional.one_hot(mode, self.modes).to(torch.float32).mean(0)
        return {"good_samples": good.mean(), "modes_found": found.sum(), "mode_share": share}
