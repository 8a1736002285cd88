"""Real handwritten digits: the 1,797 images of 8x8 pixels that come with scikit-learn, so nothing is downloaded.

Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", UCI machine learning repository. The image
GAN to try things on: small enough that a laptop's processor shows digits in minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.game.loss import Loss
from ...core.game.tree import Batch, Buffers, Params, Tree
from ...core.options import Count, option
from ..data.digit_classifier import classify, fitted
from ..data.digit_images import load_digits
from ..networks.layers import Conv, ConvT, Layer, Linear, Network, flatten, leaky_relu, mlp, relu, reshape, tanh
from .loss_by_name import GanWithLoss


@dataclass(frozen=True)
class Digits(GanWithLoss):
    """Images (B, 1, 8, 8) in [-1, 1]; fully connected or small convolutional networks."""

    metric_axes = MappingProxyType({"digit_share": ("digit",)})
    network: Literal["mlp", "conv"] = option("mlp", "fully connected or convolutional networks")
    latent: Count = option(32, "dimension of the noise z")
    hidden: Count = option(128, "units of a hidden layer, or channels of the widest convolution")
    batch: Count = option(64, "samples a step")
    loss: Loss = option("non-saturating", "GAN loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network == "conv" and self.hidden < 2:
            raise UsageError(f"game digits: the convolutional networks need hidden of 2 or more, got {self.hidden}.")

    @cached_property
    def generator(self) -> Network:
        c = self.hidden
        layers: tuple[Layer, ...]
        if self.network == "mlp":
            layers = mlp(self.latent, c, 2, 64)
        else:
            layers = (Linear(self.latent, c * 4), relu, reshape(c, 2, 2),
                      ConvT(c, c // 2, 4, 2, 1), relu, ConvT(c // 2, 1, 4, 2, 1))  # fmt: skip
        return Network((*layers, tanh, reshape(1, 8, 8)))

    @cached_property
    def discriminator(self) -> Network:
        c = self.hidden
        if self.network == "mlp":
            return Network((flatten, *mlp(64, c, 2, 1, leaky_relu)))
        return Network((Conv(1, c // 2, 4, 2, 1), leaky_relu, Conv(c // 2, c, 4, 2, 1), leaky_relu,
                        flatten, Linear(c * 4, 1)))  # fmt: skip

    def init(self, rng: torch.Generator) -> Params:
        return {"generator": self.generator.init(rng), "discriminator": self.discriminator.init(rng)}

    def sample(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        images, _ = load_digits()
        chosen = torch.randint(len(images), (self.batch,), generator=rng)
        noise = torch.randn(self.batch, self.latent, generator=rng, dtype=torch.float32)
        return {**buffers, "real": images[chosen], "noise": noise}

    def gallery(self, rng: torch.Generator, buffers: Buffers) -> Batch:
        """A larger batch, for shares of digits that mean something."""
        return {**self.sample(rng, buffers), "noise": torch.randn(512, self.latent, generator=rng, dtype=torch.float32)}

    def generate(self, generator: Tree, z: Tensor, batch: Batch) -> Tensor:
        return self.generator(generator, z)  # (B, 1, 8, 8)

    def discriminate(self, discriminator: Tree, x: Tensor, batch: Batch) -> Tensor:
        return self.discriminator(discriminator, x).squeeze(1)  # (B,)

    def show(self, params: Params, batch: Batch) -> Tensor:
        return (self.generate(params["generator"], batch["noise"], batch) + 1) / 2

    def metrics(self, params: Params, batch: Batch) -> dict[str, Any]:
        """What a small classifier of real digits makes of the generated ones.

        ``digit_score`` is exp E KL(p(digit | image) || p(digit)), between 1 and 10, the inception score of Salimans
        et al. (2016, arXiv 1606.03498) with this classifier; ``confidence`` the mean probability of the digit it
        sees; ``digit_share`` the share of each digit, (10,).
        """
        p = classify(fitted(), self.generate(params["generator"], batch["noise"], batch))  # (B, 10)
        marginal = p.mean(0)
        divergence = (p * (p.clamp_min(1e-12).log() - marginal.clamp_min(1e-12).log())).sum(1)
        share = torch.nn.functional.one_hot(p.argmax(1), 10).to(p.dtype).mean(0)
        return {"digit_score": divergence.mean().exp(), "confidence": p.amax(1).mean(), "digit_share": share}
