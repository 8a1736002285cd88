"""The affine Gaussian GAN: x ~ N(v, s I) with v = (0, mean), G(z) = phi + z with z ~ N(0, s I), D(x) = theta . x.

Its equilibrium is phi = v, theta = 0. J there is known in closed form; its eigenvalues show both oscillation and bad
conditioning. Nie and Patel (2020, arXiv 1806.09235), section 4 and Fig. 1: mean 4, variance s = 0.04, start within 0.05
of the equilibrium, lr 1e-3, batch 128, 15,000 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Player, Tree
from ...core.options import Count, NonNegative, option
from .loss_by_name import GanWithLoss


@dataclass(frozen=True)
class AffineGaussian(GanWithLoss):
    """Two numbers each. Expectations are means over samples, or with ``exact`` Gauss-Hermite quadrature."""

    mean: float = option(4.0, "mu: the data's mean is (0, mu)")
    variance: NonNegative = option(0.04, "sigma^2 of data and noise")
    exact: bool = option(False, "integrate exactly instead of sampling")
    batch: Count = option(128, "samples a step")
    nodes: Count = option(20, "quadrature nodes in each of the two dimensions")
    radius: NonNegative = option(0.05, "distance from the equilibrium at the start, at most")
    loss: GanLoss = option("saturating", "GAN loss")

    @property
    def target(self) -> Tensor:
        """v, the mean of the data."""
        return torch.tensor([0.0, self.mean], dtype=torch.float64)

    def init(self, rng: torch.Generator) -> Params:
        direction = torch.randn(4, generator=rng, dtype=torch.float64)
        offset = self.radius * torch.rand(1, generator=rng, dtype=torch.float64) ** 0.25 * direction / direction.norm()
        return {"generator": {"value": self.target + offset[:2]}, "discriminator": {"value": offset[2:]}}

    def buffers(self, rng: torch.Generator) -> Buffers:
        if not self.exact:
            return {}
        z, weights = self._quadrature()
        return {"real": self.target + z, "noise": z, "weights": weights}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        if self.exact:
            return buffers
        z = self.variance**0.5 * torch.randn(2, self.batch, 2, generator=rng, dtype=torch.float64)
        return {**buffers, "real": self.target + z[0], "noise": z[1]}

    def _quadrature(self) -> tuple[Tensor, Tensor]:
        """Nodes (n^2, 2) and weights (n^2,) for expectations over N(0, variance I), as a tensor product.

        Its directions are fixed. A quadrature along theta would not be differentiable at theta = 0.
        """
        x, w = np.polynomial.hermite_e.hermegauss(self.nodes)
        nodes = torch.cartesian_prod(torch.from_numpy(x), torch.from_numpy(x)) * self.variance**0.5
        weights = torch.outer(torch.from_numpy(w), torch.from_numpy(w)).flatten()
        return nodes, weights / weights.sum()

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return generator["value"] + z  # (B, 2)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return (x * discriminator["value"]).sum(1)  # (B,)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        if "weights" not in batch:
            return super().losses(params, batch)
        d_real = self.discriminate(params["discriminator"], batch["real"], batch)
        d_fake = self.discriminate(params["discriminator"], self.generated(params, batch), batch)
        return self.loss.losses(lambda x: (batch["weights"] * x).sum(), d_real, d_fake)
