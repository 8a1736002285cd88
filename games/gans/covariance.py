"""Estimating a covariance by a Wasserstein GAN: G(z) = V z against D(x) = x^T W x.

    min_V max_W   E x^T W x - E (V z)^T W (V z)  =  sum_ij W_ij (Sigma - V V^T)_ij,    x ~ N(0, Sigma), z ~ N(0, I)

Its equilibria are V V^T = Sigma, W + W^T = 0. J there is antisymmetric, with eigenvalues +-i sqrt(2 (s_k + s_l)) for
k <= l, where s are the eigenvalues of Sigma, and 0 (d^2 - d times). Daskalakis, Ilyas, Syrgkanis and Zeng (2018, arXiv
1711.00141), appendix C; Schäfer and Anandkumar (2019, arXiv 1905.12103), section 4: Sigma = U U^T with U standard
normal, d = 20, 40, 60, start V = U + dV, W = dW, lr .005 to .4. Here the entries of dV and dW are uniform on
[-radius, radius], without any symmetry. Sigma depends on the option ``matrix``, not on the seed of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.game.loss import GanLoss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.options import Count, NonNegative, Seed, option
from ...core.registry.registry import make
from ...core.seeding import generator
from .loss_by_name import GanWithLoss


@dataclass(frozen=True)
class Covariance(GanWithLoss):
    """d^2 numbers each: "V" of the generator, "W" of the discriminator."""

    dimension: Count = option(4, "d")
    exact: bool = option(True, "integrate exactly instead of sampling; wgan only")
    batch: Count = option(100, "samples a step")
    matrix: Seed = option(0, "seed from which U is drawn")
    radius: NonNegative = option(0.5, "largest deviation of each number from the equilibrium at the start")
    loss: GanLoss = option("wgan", "GAN loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact and self.loss != make("loss", "wgan"):
            raise UsageError("game covariance knows exact expectations for the loss wgan only: set exact=false.")

    @cached_property
    def root(self) -> Tensor:
        """U (d, d), one of the V with V V^T = Sigma."""
        rng = generator(self.matrix)
        return torch.randn(self.dimension, self.dimension, generator=rng, dtype=torch.float64)

    def init(self, rng: torch.Generator) -> Params:
        d = self.dimension
        dV, dW = self.radius * (2 * torch.rand(2, d, d, generator=rng, dtype=torch.float64) - 1)
        return {"generator": {"V": self.root + dV}, "discriminator": {"W": dW}}

    def buffers(self, rng: torch.Generator) -> Buffers:
        if not self.exact:
            return {}
        # The second moments of these d points are those of N(0, I). D is quadratic and G linear: nothing else matters.
        z = self.dimension**0.5 * torch.eye(self.dimension, dtype=torch.float64)
        return {"real": z @ self.root.T, "noise": z}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        if self.exact:
            return buffers
        z = torch.randn(2, self.batch, self.dimension, generator=rng, dtype=torch.float64)
        return {**buffers, "real": z[0] @ self.root.T, "noise": z[1]}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return z @ generator["V"].T  # (B, d)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return ((x @ discriminator["W"]) * x).sum(1)  # (B,)

    def metrics(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        """``covariance_error``: ||V V^T - Sigma||_F."""
        V, U = params["generator"]["V"], self.root.to(params["generator"]["V"])
        return {"covariance_error": torch.linalg.matrix_norm(V @ V.T - U @ U.T)}
