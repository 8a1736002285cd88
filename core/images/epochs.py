"""The order in which the images of a data set are drawn: every image once an epoch, in another order in each.

The order of the first epoch comes from the run's generator. That of each later one is the order before, permuted by a
permutation that depends on the number of the epoch only: it is as random as the first, and takes no random number of
the run. So the order is the same however many random numbers a step draws besides.
"""

from __future__ import annotations

import torch
from torch import Tensor


def first_order(count: int, rng: torch.Generator) -> Tensor:
    """A permutation of ``count`` images, int64 (count,)."""
    return torch.randperm(count, generator=rng)


def next_order(order: Tensor, epoch: int) -> Tensor:
    """The order (N,) of the epoch after ``epoch``, which has ``order``."""
    rng = torch.Generator().manual_seed(epoch)
    return order[torch.randperm(len(order), generator=rng).to(order.device)]


def take(order: Tensor, epoch: int, position: int, count: int) -> tuple[Tensor, Tensor, int, int]:
    """The next ``count`` images from ``position`` in ``epoch`` on, which has ``order`` (N,).

    Gives their numbers (count,), and then the order, the epoch and the position after them. An epoch goes on into the
    next one within a batch: no image is left out.
    """
    taken: list[Tensor] = []
    while count:
        part = order[position : position + count]
        taken.append(part)
        count, position = count - len(part), position + len(part)
        if position == len(order):
            order, epoch, position = next_order(order, epoch), epoch + 1, 0
    return torch.cat(taken), order, epoch, position
