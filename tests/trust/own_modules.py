"""Modules of one's own: pure ones, ones with state, ones that draw, and functions with a backward of their own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WIDTH = 4


class NormAct(nn.BatchNorm1d):
    """A batch normalisation with its activation."""

    def __init__(self) -> None:
        super().__init__(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()


class Conditional(nn.BatchNorm1d):
    """A batch normalisation whose gain depends on a class."""

    def __init__(self) -> None:
        super().__init__(WIDTH, affine=False)
        self.table = nn.Embedding(2, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.table(torch.arange(len(x)) % 2)


class Symmetric(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w.triu() + w.triu(1).mT


class Listed(nn.Module):
    """Keeps its weights in a list of its own, for a penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.decayed = [self.linear.weight]

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + sum(w.square().mean() for w in self.decayed)


class Tabled(nn.Module):
    """The same in a dictionary inside a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.known = ({"w": self.linear.weight},)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.known[0]["w"]) + self.linear(x)


class Tied(nn.Module):
    """One weight that stands there twice, once through a module and once by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).tanh())


def half_frozen() -> nn.Module:
    linear = nn.Linear(WIDTH, WIDTH)
    linear.weight.requires_grad_(False)
    return linear


class ConstantBuffer(nn.Module):
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("shift", torch.rand(WIDTH))
        self.factor = torch.tensor(1.5)  # an attribute that is a tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x + self.shift) * self.factor


class SpectralFeatures(nn.Module):
    """A pure module whose name holds a word."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_u = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight_u).cos()


# ------------------------------------------------------------------------------------------------ state of their own


class WrittenBuffer(nn.Module):
    """Counts its calls in a buffer, and what it gives depends on them."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return x * (1 + 0.1 * self.calls)


class ReassignedBuffer(nn.Module):
    """Centres by an average that it renews."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return x - self.mean


class UnusedAverage(nn.Module):
    """Keeps an average that it does not use."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return x * 1.5


class Counter(nn.Module):
    """Python state: a factor that grows with every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 + 0.1 * self.calls)


class Cached(nn.Module):
    """Keeps what it last gave, for someone to look at."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = x * 1.5
        return self.last


class Remembers(nn.Module):
    """Adds a share of what it was last given."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None

    def forward(self, x: Tensor) -> Tensor:
        before, self.last = self.last, x.detach()
        return x if before is None else x + 0.1 * before


class Assembled(nn.Module):
    """Writes its result into an empty tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        out[:, :2] = self.linear(x)[:, :2]
        out[:, 2:] += x[:, 2:].tanh()
        return out


# --------------------------------------------------------------------------------------------- their own randomness


class OwnGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn(x.shape, generator=self.rng)


class PythonRandom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + random.random())


class NumpyRandom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + float(np.random.rand()))
