"""The norm of v at a point, and by how much it differs between batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GradientNoise:
    """Norms (...) of v on the probe batch, of the mean of v over independent batches, and of its standard deviation.

    The deviation is the root of the summed variances of v's entries on one batch; 0 if the game draws nothing.
    ``players`` (..., n) are the deviations of each player's own part of v.
    """

    gradient: Tensor
    mean: Tensor
    deviation: Tensor
    players: Tensor

    @staticmethod
    def of(first: Tensor, others: Tensor, sizes: Sequence[int]) -> GradientNoise:
        """The noise of v (..., N) on the probe batch and of ``others`` (batches, ..., N); ``sizes`` of the players."""
        own = torch.stack([deviation(part) for part in others.split(list(sizes), dim=-1)], dim=-1)
        return GradientNoise(norm(first), norm(others.mean(0)), deviation(others), own)


def norm(x: Tensor) -> Tensor:
    """The norm (...) of x (..., N)."""
    return torch.linalg.vector_norm(x, dim=-1)


def deviation(x: Tensor) -> Tensor:
    """The norm (...) of the standard deviation of x (batches, ..., N) between batches; 0 of one batch."""
    return torch.linalg.vector_norm(norm(x - x.mean(0)), dim=0) / max(len(x) - 1, 1) ** 0.5
