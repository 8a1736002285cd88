"""The square root as step rules take it: flat at 0, where it has no derivative; whoever asks is told where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_watchers: list[list[Tensor]] = []


def root(x: Tensor) -> Tensor:
    """The square root, with derivative 0 where x is exactly 0 (there it has none)."""
    for taken in _watchers:
        taken.append(x)
    if not torch.is_grad_enabled():
        return x.sqrt()
    zero = x == 0
    return torch.where(zero, torch.zeros_like(x), torch.where(zero, torch.ones_like(x), x).sqrt())


@contextmanager
def roots() -> Iterator[list[Tensor]]:
    """What roots are taken of meanwhile."""
    taken: list[Tensor] = []
    _watchers.append(taken)
    try:
        yield taken
    finally:
        _watchers.remove(taken)
