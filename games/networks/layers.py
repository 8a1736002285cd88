"""Networks as pure functions: a network is a sequence of layers, each with ``init(rng)`` and ``apply(tree, x)``.

A layer holds no parameters; they are passed to ``apply``. There are no running statistics. The parameters of a network
are called "0.weight", "0.bias", ... by the position of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ...core.game.normalization import normalize
from ...core.game.tree import Tree

Masks = tuple[Tensor, ...]


@dataclass(frozen=True)
class Linear:
    """x W^T + b: (B, inputs) to (B, outputs)."""

    inputs: int
    outputs: int
    bias: bool = True

    def init(self, rng: torch.Generator) -> Tree:
        """Draw "weight" (outputs, inputs) and "bias" (outputs,)."""
        return _uniform(rng, (self.outputs, self.inputs), self.inputs, self.bias, self.outputs)

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return x W^T + b, (B, outputs)."""
        return F.linear(x, tree["weight"], tree.get("bias"))


@dataclass(frozen=True)
class Conv:
    """A convolution: (B, inputs, H, W) to (B, outputs, H', W')."""

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def init(self, rng: torch.Generator) -> Tree:
        """Draw "weight" (outputs, inputs, kernel, kernel) and "bias" (outputs,)."""
        shape = (self.outputs, self.inputs, self.kernel, self.kernel)
        return _uniform(rng, shape, self.inputs * self.kernel**2, self.bias, self.outputs)

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return the convolution of ``x``, (B, outputs, H', W')."""
        return F.conv2d(x, tree["weight"], tree.get("bias"), self.stride, self.padding)


@dataclass(frozen=True)
class ConvT(Conv):
    """A transposed convolution."""

    def init(self, rng: torch.Generator) -> Tree:
        """Draw "weight" (inputs, outputs, kernel, kernel) and "bias" (outputs,)."""
        shape = (self.inputs, self.outputs, self.kernel, self.kernel)
        return _uniform(rng, shape, self.outputs * self.kernel**2, self.bias, self.outputs)

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return the transposed convolution of ``x``, (B, outputs, H', W')."""
        return F.conv_transpose2d(x, tree["weight"], tree.get("bias"), self.stride, self.padding)


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation, always with the statistics of the batch (see core.game.normalization)."""

    channels: int

    def init(self, rng: torch.Generator) -> Tree:
        """Return "weight", ones, and "bias", zeros, both (channels,): nothing is drawn."""
        one = torch.ones(self.channels, dtype=torch.float32)
        return {"weight": one, "bias": torch.zeros_like(one)}

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return ``x`` (B, channels, ...) normalised by channel, times the weight, plus the bias."""
        return normalize(x, tree["weight"], tree["bias"])


@dataclass(frozen=True)
class Apply:
    """A function without parameters: an activation, a pooling, a reshape."""

    f: Callable[[Tensor], Tensor]

    def init(self, rng: torch.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return f(x)."""
        return self.f(x)


@dataclass(frozen=True)
class Dropout:
    """x times a mask that is drawn with the batch; without a mask x itself, as for samples and metrics.

    Srivastava et al. (2014): each number is kept with probability 1 - rate, and then divided by it.
    """

    rate: float

    def init(self, rng: torch.Generator) -> Tree:
        """Return no parameters."""
        return {}

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def mask(self, rng: torch.Generator, shape: torch.Size) -> Tensor:
        """Draw a mask of the shape of the layer's input."""
        return (torch.rand(shape, generator=rng, dtype=torch.float32) >= self.rate) / (1 - self.rate)


Layer = Linear | Conv | ConvT | BatchNorm | Apply | Dropout


@dataclass(frozen=True)
class Sequential:
    """Layers in sequence. With ``std``, initial weights are drawn from N(0, std^2) and biases are 0, as in DCGAN."""

    layers: tuple[Layer, ...]
    std: float | None = None
    input_shape: tuple[int, ...] = ()  # of one input, without the batch; only needed where there is dropout

    def init(self, rng: torch.Generator) -> Tree:
        """Draw the parameters of all layers, in their order, under "position.name"."""
        tree: Tree = {}
        for n, layer in enumerate(self.layers):
            for name, x in layer.init(rng).items():
                if self.std is not None and not isinstance(layer, BatchNorm):
                    x = self.std * torch.randn(x.shape, generator=rng) if x.dim() > 1 else torch.zeros_like(x)
                tree[f"{n}.{name}"] = x
        return tree

    def __call__(self, tree: Tree, x: Tensor, masks: Masks = ()) -> Tensor:
        return self._through(len(self.layers), tree, x, masks)

    def features(self, tree: Tree, x: Tensor, masks: Masks = ()) -> Tensor:
        """What the last layer reads, (B, width)."""
        return self._through(len(self.layers) - 1, tree, x, masks)

    def readout(self, tree: Tree, features: Tensor) -> Tensor:
        """The output of the last layer for its input ``features`` (B, width)."""
        last = len(self.layers) - 1
        return self.layers[last].apply(_of_layer(tree, last), features)

    @property
    def width(self) -> int:
        """How many numbers the last layer, a linear one, reads of each input."""
        last = self.layers[-1]
        if not isinstance(last, Linear):
            raise TypeError(f"the last layer is {last}, not linear")
        return last.inputs

    def masks(self, rng: torch.Generator, count: int) -> Masks:
        """Draw the masks of all dropout layers for ``count`` inputs."""
        return tuple(self.layers[n].mask(rng, shape) for n, shape in self._dropped(count))  # type: ignore[union-attr]

    def _dropped(self, count: int) -> list[tuple[int, torch.Size]]:
        """The position of each dropout layer and the shape of its input."""
        if not any(isinstance(layer, Dropout) for layer in self.layers):
            return []
        with FakeTensorMode():  # shapes only
            x, found = torch.empty(count, *self.input_shape), []
            for n, layer in enumerate(self.layers):
                if isinstance(layer, Dropout):
                    found.append((n, x.shape))
                rng = torch.Generator()
                x = layer.apply(layer.init(rng), x)
        return found

    def _through(self, count: int, tree: Tree, x: Tensor, masks: Masks) -> Tensor:
        """The output of the first ``count`` layers."""
        left = iter(masks)
        for n, layer in enumerate(self.layers[:count]):
            x = layer.apply(_of_layer(tree, n), x)
            if masks and isinstance(layer, Dropout):
                x = x * next(left)
        return x


relu = Apply(F.relu)
tanh = Apply(torch.tanh)
leaky_relu = Apply(lambda x: F.leaky_relu(x, 0.2))
flatten = Apply(lambda x: x.flatten(1))


def _of_layer(tree: Tree, n: int) -> Tree:
    """The parameters of the layer at position ``n``."""
    return {k.partition(".")[2]: v for k, v in tree.items() if k.partition(".")[0] == str(n)}


def reshape(*shape: int) -> Apply:
    """A layer that reshapes each sample: (B, ...) to (B, *shape)."""
    return Apply(lambda x: x.reshape(x.shape[0], *shape))


def mlp(inputs: int, hidden: int, layers: int, outputs: int, activation: Apply = relu) -> tuple[Layer, ...]:
    """The layers of a fully connected network with ``layers`` hidden layers of ``hidden`` units each."""
    sizes = [inputs] + [hidden] * layers
    body = [layer for a, b in pairwise(sizes) for layer in (Linear(a, b), activation)]
    return (*body, Linear(sizes[-1], outputs))


def _uniform(rng: torch.Generator, shape: tuple[int, ...], fan_in: int, bias: bool, outputs: int) -> Tree:
    """Initial weights and biases as torch.nn draws them by default: U(-1, 1)/sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)

    def draw(*size: int) -> Tensor:
        return bound * (2 * torch.rand(*size, generator=rng, dtype=torch.float32) - 1)

    return {"weight": draw(*shape), **({"bias": draw(outputs)} if bias else {})}
