"""Layers, each with ``init(rng)`` and ``apply(tree, x)``; `sequential.Sequential` makes a network of them.

A layer holds no parameters; they are passed to ``apply``. There are no running statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.game.normalization import EPS, normalize
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
    """A convolution: (B, inputs, H, W) to (B, outputs, H', W').

    There are ``padding`` zeros at each side of the image, and ``extra`` ones more at the right and at the bottom.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True
    extra: int = 0

    def init(self, rng: torch.Generator) -> Tree:
        """Draw "weight" (outputs, inputs, kernel, kernel) and "bias" (outputs,)."""
        shape = (self.outputs, self.inputs, self.kernel, self.kernel)
        return _uniform(rng, shape, self.inputs * self.kernel**2, self.bias, self.outputs)

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return the convolution of ``x``, (B, outputs, H', W')."""
        x = F.pad(x, (0, self.extra, 0, self.extra)) if self.extra else x
        return F.conv2d(x, tree["weight"], tree.get("bias"), self.stride, self.padding)


@dataclass(frozen=True)
class ConvT(Conv):
    """A transposed convolution, the adjoint of `Conv`: of the result, ``padding`` and ``extra`` are cut off."""

    def init(self, rng: torch.Generator) -> Tree:
        """Draw "weight" (inputs, outputs, kernel, kernel) and "bias" (outputs,)."""
        shape = (self.inputs, self.outputs, self.kernel, self.kernel)
        return _uniform(rng, shape, self.outputs * self.kernel**2, self.bias, self.outputs)

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return the transposed convolution of ``x``, (B, outputs, H', W')."""
        y = F.conv_transpose2d(x, tree["weight"], tree.get("bias"), self.stride, self.padding)
        return y[..., : -self.extra, : -self.extra] if self.extra else y


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation, always with the statistics of the batch (see core.game.normalization)."""

    channels: int
    eps: float = EPS
    scale: bool = True

    def init(self, rng: torch.Generator) -> Tree:
        """Return "weight", ones, and "bias", zeros, both (channels,): nothing is drawn. Without a scale no weight."""
        one = torch.ones(self.channels, dtype=torch.float32)
        return {**({"weight": one} if self.scale else {}), "bias": torch.zeros_like(one)}

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return ``x`` (B, channels, ...) normalised by channel, times the weight, plus the bias."""
        return normalize(x, tree.get("weight"), tree["bias"], eps=self.eps)


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
class Activation(Apply):
    """An activation: after it a discriminator may drop numbers."""


@dataclass(frozen=True)
class Residual:
    """x + weight · g(x), where g is two convolutions of 3x3 over ``inner`` channels, with activations f.

    g(x) = conv2(f(conv1(f(x)))) with ``before``, else f(conv2(f(conv1(x)))).
    """

    channels: int
    inner: int
    f: Apply
    before: bool
    weight: float = 0.1

    @property
    def _convs(self) -> dict[str, Conv]:
        return {
            "conv1": Conv(self.channels, self.inner, 3, padding=1),
            "conv2": Conv(self.inner, self.channels, 3, padding=1),
        }

    def init(self, rng: torch.Generator) -> Tree:
        """Draw the weights and biases "conv1.weight", ..., "conv2.bias"."""
        return {f"{n}.{name}": x for n, conv in self._convs.items() for name, x in conv.init(rng).items()}

    def apply(self, tree: Tree, x: Tensor) -> Tensor:
        """Return ``x`` (B, channels, H, W) plus its residual."""
        y = x
        for name, conv in self._convs.items():
            y = conv.apply(inside(tree, name), self.f.f(y) if self.before else y)
            y = y if self.before else self.f.f(y)
        return x + self.weight * y


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


Layer = Linear | Conv | ConvT | BatchNorm | Apply | Residual | Dropout


relu = Activation(F.relu)
tanh = Apply(torch.tanh)
max_pool = Apply(lambda x: F.max_pool2d(x, 2))
flatten = Apply(lambda x: x.flatten(1))


def leaky(slope: float) -> Activation:
    """Leaky ReLU; with a slope of 0 ReLU."""
    return Activation(lambda x: F.leaky_relu(x, slope)) if slope else relu


leaky_relu = leaky(0.2)


def inside(tree: Tree, n: int | str) -> Tree:
    """The parameters called "n.name", as "name": those of the layer at position ``n``, or with this name."""
    return {k.partition(".")[2]: v for k, v in tree.items() if k.partition(".")[0] == str(n)}


def reshape(*shape: int) -> Apply:
    """A layer that reshapes each sample: (B, ...) to (B, *shape)."""
    return Apply(lambda x: x.reshape(x.shape[0], *shape))


def _uniform(rng: torch.Generator, shape: tuple[int, ...], fan_in: int, bias: bool, outputs: int) -> Tree:
    """Initial weights and biases as torch.nn draws them by default: U(-1, 1)/sqrt(fan in)."""
    bound = 1 / math.sqrt(fan_in)

    def draw(*size: int) -> Tensor:
        return bound * (2 * torch.rand(*size, generator=rng, dtype=torch.float32) - 1)

    return {"weight": draw(*shape), **({"bias": draw(outputs)} if bias else {})}
