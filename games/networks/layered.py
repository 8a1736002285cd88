"""What the built-in networks share: options, which sides fit, and the convolutions that double or halve the side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from ...core.errors import UsageError
from ...core.images.network import Network, Shape
from ...core.options import Count, option
from .initial import REDRAWS, Init
from .layers import Activation, Conv, ConvT, Dropout, Layer
from .sequential import Sequential

INIT = (
    "initial weights: as torch.nn's, Xavier uniform, from N(0, .02²), or convolutions' from N(0, .01²) or N(0, .005²)"
)
AtLeastTwo = Annotated[int, Meta(ge=2)]  # filters, where a network halves their number
Rate = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True)
class Layered(Network):
    """A pair of networks, each a sequence of layers. A subclass gives the layers and its own defaults."""

    name: ClassVar[str]
    divisor: ClassVar[int] = 16
    """Height and width of the images must be multiples of it."""
    least: ClassVar[int] = 1
    """The least height and width."""

    latent: Count = option(128, "dimension of the noise z")
    filters: Count = option(64, "f, the number of filters")
    init: Init = option("xavier", INIT)
    dropout: Rate = option(0.0, "share of the numbers dropped after each activation of the discriminator")

    @abstractmethod
    def generating(self, inputs: int, channels: int, height: int, width: int) -> Iterable[Layer]:
        """The layers of the generator of images (channels, height, width)."""

    @abstractmethod
    def discriminating(self, channels: int, height: int, width: int) -> Iterable[Layer]:
        """The layers of the discriminator, the last one linear."""

    def generator(self, shape: Shape, inputs: int) -> Sequential:
        self._fits(shape)
        return Sequential(tuple(self.generating(inputs, *shape)), REDRAWS[self.init])

    def discriminator(self, shape: Shape) -> Sequential:
        self._fits(shape)
        layers: list[Layer] = []
        for layer in self.discriminating(*shape):
            layers.append(layer)
            if self.dropout and isinstance(layer, Activation):
                layers.append(Dropout(self.dropout))
        return Sequential(tuple(layers), REDRAWS[self.init], shape)

    def _fits(self, shape: Shape) -> None:
        _, *sides = shape
        if any(side % self.divisor or side < self.least for side in sides):
            bound = f", {self.least} or more" if self.least > self.divisor else ""
            raise UsageError(
                f"network {self.name}: images of {sides[0]}x{sides[1]} pixels were given, but height and width must be "
                f"multiples of {self.divisor}{bound}. Choose images of such a size, or another network."
            )


def up(inputs: int, outputs: int, kernel: int = 4, bias: bool = True) -> ConvT:
    """A transposed convolution of 4x4 or 5x5 that doubles the side, with the alignment of TensorFlow's "SAME".

    One row and column are cut off at the left and at the top. At the right and at the bottom it is one, too, with a
    kernel of 4x4, and two with a kernel of 5x5.
    """
    return ConvT(inputs, outputs, kernel, 2, 1, bias, kernel - 4)


def down(inputs: int, outputs: int, kernel: int = 4, bias: bool = True) -> Conv:
    """A convolution of 4x4 or 5x5 that halves the side, with the padding of TensorFlow's "SAME".

    There is one row and column of zeros at the left and at the top. At the right and at the bottom it is one, too, with
    a kernel of 4x4, and two with a kernel of 5x5.
    """
    return Conv(inputs, outputs, kernel, 2, 1, bias, kernel - 4)
