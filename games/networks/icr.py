"""The networks of Schäfer, Zheng and Anandkumar (2020, arXiv 1910.05852), appendix A.3 and A.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from ...core.options import Count, option
from .initial import Init
from .layered import INIT, Layered, down, up
from .layers import BatchNorm, Conv, Layer, Linear, flatten, leaky, max_pool, relu, reshape, tanh


@dataclass(frozen=True)
class IcrMnist(Layered):
    """Tables 1 and 2, with f filters, h hidden units, and 1/4 of the side s.

    Generator: Linear h; Linear 4f·(s/4)²; each with BN and ReLU; up 4×4/2 to 2f, BN, ReLU; up 4×4/2 to the image, tanh.
    Discriminator: 5×5 to f, 5×5 to 2f, both without padding and with leaky ReLU .01 and max-pooling 2×2; Linear h,
    leaky ReLU .01; Linear 1.

    The paper prints BN before ReLU. The authors' code has ReLU before BN, and its convolutions begin with weights from
    N(0, .005²); these are the defaults.
    """

    name: ClassVar[str] = "icr-mnist"
    divisor: ClassVar[int] = 4
    least: ClassVar[int] = 16

    latent: Count = option(96, "dimension of the noise z")
    filters: Count = option(32, "f, the number of filters")
    init: Init = option("conv-normal-0.005", INIT)
    hidden: Count = option(1024, "h, units of the hidden layers")
    order: Literal["relu-bn", "bn-relu"] = option("relu-bn", "which comes first, as in the code or as in the paper")

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, h, rows, columns = self.filters, self.hidden, height // 4, width // 4
        yield from (Linear(inputs, h), *self._normed(h))
        yield from (Linear(h, 4 * f * rows * columns), *self._normed(4 * f * rows * columns))
        yield from (reshape(4 * f, rows, columns), up(4 * f, 2 * f), *self._normed(2 * f), up(2 * f, channels), tanh)

    def _normed(self, channels: int) -> tuple[Layer, Layer]:
        norm = BatchNorm(channels)
        return (relu, norm) if self.order == "relu-bn" else (norm, relu)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, h = self.filters, self.hidden
        rows, columns = ((side - 12) // 4 for side in (height, width))
        yield from (Conv(channels, f, 5), leaky(0.01), max_pool, Conv(f, 2 * f, 5), leaky(0.01), max_pool, flatten)
        yield from (Linear(2 * f * rows * columns, h), leaky(0.01), Linear(h, 1))


@dataclass(frozen=True)
class WganGpDcgan(Layered):
    """Tables 4 and 5, the DCGAN of Gulrajani et al. (2017, arXiv 1704.00028), with f filters and 1/8 of the side s.

    Generator: Linear 4f·(s/8)², BN, ReLU; up 4×4/2 to 2f and f, each with BN and ReLU; up 4×4/2 to the image, tanh.
    Discriminator: down 4×4/2 to f, 2f, 4f, each with leaky ReLU .01; Linear 1.

    In the authors' code convolutions begin with weights from N(0, .01²).
    """

    name: ClassVar[str] = "wgan-gp-dcgan"
    divisor: ClassVar[int] = 8

    latent: Count = option(128, "dimension of the noise z")
    filters: Count = option(64, "f, the number of filters")
    init: Init = option("conv-normal-0.01", INIT)

    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterator[Layer]:
        f, rows, columns = self.filters, height // 8, width // 8
        first = 4 * f * rows * columns
        yield from (Linear(inputs, first), BatchNorm(first), relu, reshape(4 * f, rows, columns))
        for a, b in ((4 * f, 2 * f), (2 * f, f)):
            yield from (up(a, b), BatchNorm(b), relu)
        yield from (up(f, channels), tanh)

    def discriminating(self, channels: int, height: int, width: int) -> Iterator[Layer]:
        f = self.filters
        for a, b in ((channels, f), (f, 2 * f), (2 * f, 4 * f)):
            yield from (down(a, b), leaky(0.01))
        yield from (flatten, Linear(4 * f * (height // 8) * (width // 8), 1))
