"""The networks of Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), as in the authors' code.

s is the side of the image, f the number of filters. Weights begin Xavier uniform, biases 0. As with TensorFlow's slim,
batch normalisation has eps 1e-3 and no scale, and a convolution that it follows has no bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from ...core.options import Count, NonNegative, option
from .layered import AtLeastTwo, Layered, down, up
from .layers import BatchNorm, Layer, Linear, Residual, flatten, leaky, leaky_relu, reshape, tanh


@dataclass(frozen=True)
class Dcgan4(Layered):
    """DCGAN with four levels of 5×5 (Radford et al. 2016, arXiv 1511.06434).

    Generator: Linear 8f·(s/16)², BN, leaky ReLU .2; up 5×5/2 to 4f, 2f, f, each with BN and leaky ReLU .2; up 5×5/2 to
    the image, tanh. Discriminator: down 5×5/2 to f, leaky ReLU .2; down 5×5/2 to 2f, 4f, 8f, each with BN and leaky
    ReLU .2; Linear 1.
    """

    name: ClassVar[str] = "dcgan4"

    latent: Count = option(256, "dimension of the noise z")
    bn: bool = option(True, "batch normalisation in both networks")

    def _normed(self, channels: int) -> tuple[Layer, ...]:
        return (BatchNorm(channels, 1e-3, scale=False), leaky_relu) if self.bn else (leaky_relu,)

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns = self.filters, height // 16, width // 16
        yield from (Linear(inputs, 8 * f * rows * columns), reshape(8 * f, rows, columns), *self._normed(8 * f))
        for a, b in pairwise((8 * f, 4 * f, 2 * f, f)):
            yield from (up(a, b, 5, bias=not self.bn), *self._normed(b))
        yield from (up(f, channels, 5), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        yield from (down(channels, f, 5), leaky_relu)
        for a, b in pairwise((f, 2 * f, 4 * f, 8 * f)):
            yield from (down(a, b, 5, bias=not self.bn), *self._normed(b))
        yield from (flatten, Linear(8 * f * (height // 16) * (width // 16), 1))


@dataclass(frozen=True)
class Dcgan4NoBn(Dcgan4):
    """As dcgan4, without batch normalisation: every convolution has a bias."""

    name: ClassVar[str] = "dcgan4-nobn"

    bn: bool = option(False, "batch normalisation in both networks")


@dataclass(frozen=True)
class Dcgan4Const(Layered):
    """As dcgan4 without batch normalisation, with f filters in every layer.

    Generator: Linear f·(s/16)²; up 5×5/2 to f, three times; leaky ReLU .2 after each of them; up 5×5/2 to the image,
    tanh. Discriminator: down 5×5/2 to f, four times, each with leaky ReLU .2; Linear 1.

    Nie and Patel (2020, arXiv 1806.09235), settings C and D, have ReLU in the generator, leaky ReLU .1 in the
    discriminator and 128 latents: ``generator_slope=0``, ``slope=0.1``, ``latent=128``.
    """

    name: ClassVar[str] = "dcgan4-const"
    levels: ClassVar[int] = 4

    latent: Count = option(256, "dimension of the noise z")
    generator_slope: NonNegative = option(0.2, "slope of the leaky ReLU in the generator; 0: ReLU")
    slope: NonNegative = option(0.2, "slope of the leaky ReLU in the discriminator; 0: ReLU")

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns, act = self.filters, height // self.divisor, width // self.divisor, leaky(self.generator_slope)
        yield from (Linear(inputs, f * rows * columns), act, reshape(f, rows, columns))
        for _ in range(self.levels - 1):
            yield from (up(f, f, 5), act)
        yield from (up(f, channels, 5), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from self._halved(channels)
        yield Linear(self._seen(height, width), 1)

    def _halved(self, channels: int) -> Iterator[Layer]:
        """The convolutions of the discriminator."""
        for a, b in pairwise((channels, *[self.filters] * self.levels)):
            yield from (down(a, b, 5), leaky(self.slope))
        yield flatten

    def _seen(self, height: int, width: int) -> int:
        """How many numbers the convolutions of the discriminator give."""
        return self.filters * (height // self.divisor) * (width // self.divisor)


@dataclass(frozen=True)
class Conv4Const(Dcgan4Const):
    """As dcgan4-const, with hidden layers of h units: the generator's first layer, the discriminator's last but one."""

    name: ClassVar[str] = "conv4-const"

    hidden: Count = option(512, "h, units of the hidden layers")

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from (Linear(inputs, self.hidden), leaky(self.generator_slope))
        yield from super().generating(self.hidden, channels, height, width)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from self._halved(channels)
        yield from (Linear(self._seen(height, width), self.hidden), leaky(self.slope), Linear(self.hidden, 1))


@dataclass(frozen=True)
class Conv3Const(Conv4Const):
    """As conv4-const, with three levels, and with the hidden layer in the discriminator only.

    So it is in the authors' code: the generator begins with Linear f·(s/8)².
    """

    name: ClassVar[str] = "conv3-const"
    levels: ClassVar[int] = 3
    divisor: ClassVar[int] = 8

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        yield from Dcgan4Const.generating(self, inputs, channels, height, width)


@dataclass(frozen=True)
class ResnetConst(Layered):
    """Residual networks with f filters in every layer, with activations before the convolutions.

    residual(x) = x + .1·conv3×3(a(conv3×3_i(a(x)))) with a = leaky ReLU .2, and i = f/2 inner channels.
    Generator: Linear f·(s/16)²; a, up 5×5/2 to f, residual, three times; a, up 5×5/2 to the image, tanh.
    Discriminator: down 5×5/2 to f, residual with i = f; a, down 5×5/2 to f, residual, three times; a, Linear 1.
    """

    name: ClassVar[str] = "resnet-const"

    latent: Count = option(256, "dimension of the noise z")
    filters: AtLeastTwo = option(128, "f, the number of filters")

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns = self.filters, height // 16, width // 16
        yield from (Linear(inputs, f * rows * columns), reshape(f, rows, columns))
        for _ in range(3):
            yield from (leaky_relu, up(f, f, 5), Residual(f, f // 2, leaky_relu, before=True))
        yield from (leaky_relu, up(f, channels, 5), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        yield from (down(channels, f, 5), Residual(f, f, leaky_relu, before=True))
        for _ in range(3):
            yield from (leaky_relu, down(f, f, 5), Residual(f, f // 2, leaky_relu, before=True))
        yield from (leaky_relu, flatten, Linear(f * (height // 16) * (width // 16), 1))
