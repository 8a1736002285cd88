"""Kernel inception distance: the squared maximum mean discrepancy of features, by a cubic kernel, without bias.

    k(x, y) = (x . y / d + 1)^3
    MMD^2 = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)

Bińkowski et al. (2018, arXiv 1801.01401), section 3 and eq. 4. As in torch-fidelity, it is the mean over random
subsets, drawn by numpy's ``RandomState(2020)``, first of the generated images, and its population deviation over them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.options import Count, option
from .measured import FeatureMetric, SeenReal

SEED = 2020  # torch-fidelity's


@dataclass(frozen=True)
class Kid(FeatureMetric):
    """``kid``, 0 in the mean if the images are as the real ones, and ``kid_std``, its deviation over the subsets.

    The features of all images are kept in float32: 4 d bytes for each.
    """

    figures = ("kid", "kid_std")

    subsets: Count = option(100, "how many subsets")
    subset_size: Count = option(1000, "images of a subset, or all if there are fewer")

    def tally(self) -> Features:
        return Features()

    def figures_of(self, tally: Features, seen: SeenReal) -> dict[str, float]:
        real = seen.of_real("features", gathered)
        found = distances(tally.result(), real, self.subsets, self.subset_size)
        return {"kid": float(found.mean()), "kid_std": float(found.std())}

    def provenance(self, real: Any) -> Any:
        size = min(self.subset_size, self.samples, len(real))
        return {**super().provenance(real), "subsets": self.subsets, "subset_size": size}


class Features:
    """All features, float32, on the CPU; metrics of one pass share the memory of their blocks."""

    def __init__(self) -> None:
        self._blocks: list[Tensor] = []

    def add(self, features: Tensor, logits: Tensor | None = None) -> None:
        """Take a block of features (B, d)."""
        self._blocks.append(features.to("cpu", torch.float32))

    def result(self) -> Tensor:
        """The features (N, d)."""
        return torch.cat(self._blocks)


def gathered(blocks: Iterable[Tensor]) -> Tensor:
    """All features as one tensor (N, d), as `Features` gives it."""
    found = Features()
    for block in blocks:
        found.add(block)
    return found.result()


def distances(generated: Tensor, real: Tensor, subsets: int, size: int) -> np.ndarray:
    """The squared distances of ``subsets`` pairs of subsets, (subsets,). Raises UsageError for a single image."""
    size = min(size, len(generated), len(real))
    if size < 2:
        raise UsageError("kid compares two images or more of each kind: raise samples and subset_size.")
    rng = np.random.RandomState(SEED)
    found = []
    for _ in range(subsets):
        x, y = (all[torch.from_numpy(rng.choice(len(all), size, replace=False))].double() for all in (generated, real))
        found.append(float(_among(x) + _among(y) - 2 * _kernel(x, y).mean()))
    return np.array(found)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _among(x: Tensor) -> Tensor:
    """The mean of the kernel over all pairs of two different vectors."""
    K = _kernel(x, x)
    return (K.sum() - K.diagonal().sum()) / (len(x) * (len(x) - 1))
