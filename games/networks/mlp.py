"""Fully connected networks for images of any shape, as in the first GANs.

Goodfellow et al. (2014, arXiv 1406.2661), section 5. ReLU in the generator, which ends in tanh; leaky ReLU of slope .2
in the discriminator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...core.images.network import Network, Shape
from ...core.options import Count, option
from .layers import Sequential, flatten, leaky_relu, mlp, reshape, tanh


@dataclass(frozen=True)
class Mlp(Network):
    """Both networks have ``layers`` hidden layers of ``filters`` units."""

    latent: Count = option(32, "dimension of the noise z")
    filters: Count = option(128, "units of each hidden layer")
    layers: Count = option(2, "hidden layers of each network")

    def generator(self, shape: Shape, inputs: int) -> Sequential:
        return Sequential((*mlp(inputs, self.filters, self.layers, math.prod(shape)), tanh, reshape(*shape)))

    def discriminator(self, shape: Shape) -> Sequential:
        hidden = mlp(math.prod(shape), self.filters, self.layers, 1, leaky_relu)
        return Sequential((flatten, *hidden), input_shape=shape)
