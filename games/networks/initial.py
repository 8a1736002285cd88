"""The laws of initial weights, by name, as the authors of the papers drew them.

| name | weights | biases |
|---|---|---|
| torch | U(-1, 1)/sqrt(fan in), as torch.nn draws them | the same |
| xavier | Xavier uniform, U(-1, 1) sqrt(6/(fan in + fan out)), as TensorFlow's slim draws them | 0 |
| normal-0.02 | N(0, .02^2), as DCGAN (Radford et al. 2016, arXiv 1511.06434) | 0 |
| conv-normal-0.01, conv-normal-0.005 | N(0, .01^2), N(0, .005^2) in convolutions, torch's elsewhere | torch's |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Literal, get_args

import torch
from torch import Tensor

Redraw = Callable[[torch.Generator, Tensor], Tensor]
"""From a weight or a bias, as torch.nn draws it, to the one that is used."""
Init = Literal["torch", "xavier", "normal-0.02", "conv-normal-0.01", "conv-normal-0.005"]


def as_drawn(rng: torch.Generator, x: Tensor) -> Tensor:
    """``x`` itself: the law of torch.nn."""
    return x


def xavier(rng: torch.Generator, x: Tensor) -> Tensor:
    """Uniform with variance 2/(fan in + fan out); a bias is 0. Glorot and Bengio (2010), eq. 16."""
    if x.dim() == 1:
        return torch.zeros_like(x)
    bound = math.sqrt(6 / ((x.shape[0] + x.shape[1]) * math.prod(x.shape[2:])))
    return bound * (2 * torch.rand(x.shape, generator=rng, dtype=x.dtype) - 1)


def normal(std: float) -> Redraw:
    """Weights from N(0, std^2); a bias is 0."""
    return lambda rng, x: _normal(rng, x, std) if x.dim() > 1 else torch.zeros_like(x)


def normal_in_convolutions(std: float) -> Redraw:
    """Weights of convolutions from N(0, std^2); the others, and all biases, as torch.nn draws them."""
    return lambda rng, x: _normal(rng, x, std) if x.dim() == 4 else x


def _normal(rng: torch.Generator, x: Tensor, std: float) -> Tensor:
    return std * torch.randn(x.shape, generator=rng, dtype=x.dtype)


REDRAWS = MappingProxyType(
    dict(
        zip(
            get_args(Init),
            (as_drawn, xavier, normal(0.02), normal_in_convolutions(0.01), normal_in_convolutions(0.005)),
            strict=True,
        )
    )
)
