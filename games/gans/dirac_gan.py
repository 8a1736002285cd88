"""The Dirac-GAN: the data are the point 0, the generator makes the point phi, and D(x) = theta x.

The smallest GAN. Without regularisation, gradient descent does not converge to its equilibrium (0, 0) but circles
around it. Mescheder, Geiger and Nowozin (2018, arXiv 1801.04406), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.options import option
from .loss_by_name import GanWithLoss


@dataclass(frozen=True)
class DiracGan(GanWithLoss):
    """One number each. Initial values are standard normal."""

    loss: GanLoss = option("saturating", "GAN loss")

    def init(self, rng: torch.Generator) -> Params:
        return {i: {"value": torch.randn(1, generator=rng, dtype=torch.float64)} for i in self.players}

    def buffers(self, rng: torch.Generator) -> Buffers:
        point = torch.zeros(1, 1, dtype=torch.float64)  # nothing is drawn: all batches are the same
        return {"real": point, "noise": point}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return generator["value"] + z  # (B, 1)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return (x * discriminator["value"]).sum(1)  # (B,)
