"""The networks of Nie and Patel (2020, arXiv 1806.09235), section 7 and appendix F, as in the authors' code.

s is the side of the image, f the number of filters. Weights begin Xavier uniform, biases 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from ...core.options import option
from .layered import AtLeastTwo, Layered, down, up
from .layers import BatchNorm, Conv, Layer, Linear, Residual, flatten, leaky, relu, reshape, tanh


@dataclass(frozen=True)
class SnGanCnn(Layered):
    """The standard CNN of Miyato et al. (2018, arXiv 1802.05957): setting A, and without batch normalisation setting B.

    Generator: Linear 8f·(s/8)²; up 4×4/2 to 4f, 2f, f; each with BN and ReLU; 3×3 to the image, BN, tanh.
    Discriminator: 3×3 to f, 4×4/2 to f, 3×3 to 2f, 4×4/2 to 2f, 3×3 to 4f, 4×4/2 to 4f, 3×3 to 8f, each with leaky
    ReLU .1; Linear 1. Spectral normalisation is the regularizer `spectral-norm`.

    As with TensorFlow's slim, batch normalisation has eps 1e-3 and no scale, and a layer that it follows has no bias.
    """

    name: ClassVar[str] = "sngan-cnn"
    divisor: ClassVar[int] = 8

    bn: bool = option(True, "batch normalisation in the generator")

    def _normed(self, channels: int) -> tuple[Layer, ...]:
        return (BatchNorm(channels, 1e-3, scale=False),) if self.bn else ()

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns, bias = self.filters, height // 8, width // 8, not self.bn
        first = 8 * f * rows * columns
        yield from (Linear(inputs, first, bias), *self._normed(first), relu, reshape(8 * f, rows, columns))
        for a, b in pairwise((8 * f, 4 * f, 2 * f, f)):
            yield from (up(a, b, bias=bias), *self._normed(b), relu)
        yield from (Conv(f, channels, 3, padding=1, bias=bias), *self._normed(channels), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        for a, b in pairwise((channels, f, 2 * f, 4 * f)):
            yield from (Conv(a, b, 3, padding=1), leaky(0.1), down(b, b), leaky(0.1))
        yield from (Conv(4 * f, 8 * f, 3, padding=1), leaky(0.1))
        yield from (flatten, Linear(8 * f * (height // 8) * (width // 8), 1))


@dataclass(frozen=True)
class ResnetV1(Layered):
    """Residual networks with f filters in every layer, with activations after the convolutions: setting E.

    residual(x) = x + .1·ReLU(conv3×3(ReLU(conv3×3_i(x)))) with i = f/2 inner channels.
    Generator: Linear f·(s/16)², ReLU; up 4×4/2 to f, ReLU, residual, three times; up 4×4/2 to the image, tanh.
    Discriminator: down 4×4/2 to f, ReLU, residual, four times, with i = f in the first; Linear 1.
    """

    name: ClassVar[str] = "resnet-v1"
    begins: ClassVar[int] = 16
    """The generator begins with 1/16 of the side."""

    filters: AtLeastTwo = option(64, "f, the number of filters")

    def _last(self, channels: int) -> Layer:
        return up(self.filters, channels)

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns = self.filters, height // self.begins, width // self.begins
        yield from (Linear(inputs, f * rows * columns), relu, reshape(f, rows, columns))
        for _ in range(3):
            yield from (up(f, f), relu, Residual(f, f // 2, relu, before=False))
        yield from (self._last(channels), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        for a, inner in ((channels, f), *[(f, f // 2)] * 3):
            yield from (down(a, f), relu, Residual(f, inner, relu, before=False))
        yield from (flatten, Linear(f * (height // 16) * (width // 16), 1))


@dataclass(frozen=True)
class ResnetV2(ResnetV1):
    """As resnet-v1, but the generator begins with 1/8 of the side and ends with a 3×3 convolution: setting F."""

    name: ClassVar[str] = "resnet-v2"
    begins: ClassVar[int] = 8

    def _last(self, channels: int) -> Layer:
        return Conv(self.filters, channels, 3, padding=1)
