"""Small networks, for images of few pixels as those of 8x8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ...core.options import Count, option
from .initial import Init
from .layered import INIT, AtLeastTwo, Layered, down, up
from .layers import Layer, Linear, flatten, leaky_relu, relu, reshape, tanh
from .sequential import mlp


@dataclass(frozen=True)
class Mlp(Layered):
    """Fully connected: both networks have ``layers`` hidden layers of ``filters`` units.

    Goodfellow et al. (2014, arXiv 1406.2661), section 5. ReLU in the generator, which ends in tanh; leaky ReLU of slope
    .2 in the discriminator. The images may have any size.
    """

    name: ClassVar[str] = "mlp"
    divisor: ClassVar[int] = 1

    latent: Count = option(32, "dimension of the noise z")
    filters: Count = option(128, "units of each hidden layer")
    init: Init = option("torch", INIT)
    layers: Count = option(2, "hidden layers of each network")

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from mlp(inputs, self.filters, self.layers, channels * height * width)
        yield from (tanh, reshape(channels, height, width))

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from (flatten, *mlp(channels * height * width, self.filters, self.layers, 1, leaky_relu))


@dataclass(frozen=True)
class SmallConv(Layered):
    """Convolutional, with f filters where the image is smallest, 1/4 of the side s.

    Generator: Linear f·(s/4)², ReLU; up 4×4/2 to f/2, ReLU; up 4×4/2 to the image, tanh. Discriminator: down 4×4/2 to
    f/2 and f, each with leaky ReLU .2; Linear 1. A DCGAN (Radford et al. 2016, arXiv 1511.06434) without normalisation.
    """

    name: ClassVar[str] = "conv"
    divisor: ClassVar[int] = 4

    latent: Count = option(32, "dimension of the noise z")
    filters: AtLeastTwo = option(128, "f, the number of filters")
    init: Init = option("torch", INIT)

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns = self.filters, height // 4, width // 4
        yield from (Linear(inputs, f * rows * columns), relu, reshape(f, rows, columns))
        yield from (up(f, f // 2), relu, up(f // 2, channels), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        yield from (down(channels, f // 2), leaky_relu, down(f // 2, f), leaky_relu)
        yield from (flatten, Linear(f * (height // 4) * (width // 4), 1))
