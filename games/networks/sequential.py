"""Networks as pure functions: layers in sequence, for which parameters are passed to every call.

The parameters of a network are called "0.weight", "0.bias", ... by the position of the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ...core.game.tree import Tree
from .initial import Redraw, as_drawn
from .layers import Apply, BatchNorm, Dropout, Layer, Linear, inside, relu

Masks = tuple[Tensor, ...]


@dataclass(frozen=True)
class Sequential:
    """Layers in sequence. ``redraw`` is the law of their initial weights and biases."""

    layers: tuple[Layer, ...]
    redraw: Redraw = as_drawn
    input_shape: tuple[int, ...] = ()  # of one input, without the batch; only needed where there is dropout

    def init(self, rng: torch.Generator) -> Tree:
        """Draw the parameters of all layers, in their order, under "position.name"."""
        tree: Tree = {}
        for n, layer in enumerate(self.layers):
            for name, x in layer.init(rng).items():
                tree[f"{n}.{name}"] = x if isinstance(layer, BatchNorm) else self.redraw(rng, x)
        return tree

    def __call__(self, tree: Tree, x: Tensor, masks: Masks = ()) -> Tensor:
        return self._through(len(self.layers), tree, x, masks)

    def features(self, tree: Tree, x: Tensor, masks: Masks = ()) -> Tensor:
        """What the last layer reads, (B, width)."""
        return self._through(len(self.layers) - 1, tree, x, masks)

    def readout(self, tree: Tree, features: Tensor) -> Tensor:
        """The output of the last layer for its input ``features`` (B, width)."""
        last = len(self.layers) - 1
        return self.layers[last].apply(inside(tree, last), features)

    @property
    def width(self) -> int:
        """How many numbers the last layer, a linear one, reads of each input."""
        last = self.layers[-1]
        if not isinstance(last, Linear):
            raise TypeError(f"the last layer is {last}, not linear")
        return last.inputs

    def masks(self, rng: torch.Generator, count: int) -> Masks:
        """Draw the masks of all dropout layers for ``count`` inputs."""
        return tuple(layer.mask(rng, torch.Size((count, *shape))) for layer, shape in self._dropped)

    @cached_property
    def _dropped(self) -> list[tuple[Dropout, tuple[int, ...]]]:
        """The dropout layers, and the shape of one input of each."""
        found: list[tuple[Dropout, tuple[int, ...]]] = []
        if any(isinstance(layer, Dropout) for layer in self.layers):
            with FakeTensorMode():  # shapes only
                x, rng = torch.empty(1, *self.input_shape), torch.Generator()
                for layer in self.layers:
                    if isinstance(layer, Dropout):
                        found.append((layer, tuple(x.shape[1:])))
                    x = layer.apply(layer.init(rng), x)
        return found

    def _through(self, count: int, tree: Tree, x: Tensor, masks: Masks) -> Tensor:
        """The output of the first ``count`` layers."""
        left = iter(masks)
        for n, layer in enumerate(self.layers[:count]):
            x = layer.apply(inside(tree, n), x)
            if masks and isinstance(layer, Dropout):
                x = x * next(left)
        return x


def mlp(inputs: int, hidden: int, layers: int, outputs: int, activation: Apply = relu) -> tuple[Layer, ...]:
    """The layers of a fully connected network with ``layers`` hidden layers of ``hidden`` units each."""
    sizes = [inputs] + [hidden] * layers
    body = [layer for a, b in pairwise(sizes) for layer in (Linear(a, b), activation)]
    return (*body, Linear(sizes[-1], outputs))
