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

from ...core.game.normalization import normalize
from ...core.game.tree import Tree


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


Layer = Linear | Conv | ConvT | BatchNorm | Apply


@dataclass(frozen=True)
class Network:
    """Layers in sequence. With ``std``, initial weights are drawn from N(0, std^2) and biases are 0, as in DCGAN."""

    layers: tuple[Layer, ...]
    std: float | None = None

    def init(self, rng: torch.Generator) -> Tree:
        """Draw the parameters of all layers, in their order, under "position.name"."""
        tree: Tree = {}
        for n, layer in enumerate(self.layers):
            for name, x in layer.init(rng).items():
                if self.std is not None and not isinstance(layer, BatchNorm):
                    x = self.std * torch.randn(x.shape, generator=rng) if x.dim() > 1 else torch.zeros_like(x)
                tree[f"{n}.{name}"] = x
        return tree

    def __call__(self, tree: Tree, x: Tensor) -> Tensor:
        for n, layer in enumerate(self.layers):
            own = {k.partition(".")[2]: v for k, v in tree.items() if k.partition(".")[0] == str(n)}
            x = layer.apply(own, x)
        return x


relu = Apply(F.relu)
tanh = Apply(torch.tanh)
leaky_relu = Apply(lambda x: F.leaky_relu(x, 0.2))
flatten = Apply(lambda x: x.flatten(1))


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
