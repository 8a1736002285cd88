"""Precision and recall of a generator: whether its images look real, and whether it makes all that is real.

A set of images covers the balls around their features that reach to the k-th nearest other one. Precision is the share
of generated images that the real ones cover, recall the share of real images that the generated ones cover.
Kynkäänniemi et al. (2019, arXiv 1904.06991), eq. 1 to 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.images.dataset import Images
from ...core.options import Count, option
from .kid import Features, gathered
from .measured import FeatureMetric, SeenReal

SEED = 2020  # of the choice among the real images
DISTANCES = 1 << 22  # that are in memory at once
ROUNDING = 1e-14  # a squared distance below this, relative to the squared norms, is 0


@dataclass(frozen=True)
class PrecisionRecall(FeatureMetric):
    """``precision`` and ``recall``, from 0 to 1, of as many real images as generated ones, chosen at random.

    The features of all these images are kept in float32: 4 d bytes for each.
    """

    figures = ("precision", "recall")
    higher_is_better = True

    k: Count = option(3, "which nearest neighbour a ball reaches")

    def tally(self) -> Features:
        return Features()

    def figures_of(self, tally: Features, seen: SeenReal) -> dict[str, float]:
        chosen = torch.randperm(len(seen.real), generator=torch.Generator().manual_seed(SEED))
        chosen = chosen[: self.real_samples(seen.real)]
        real = seen.of_real(f"{len(chosen)} features", gathered, chosen)
        precision, recall = precision_and_recall(tally.result(), real, self.k)
        return {"precision": precision, "recall": recall}

    def real_samples(self, real: Images) -> int:
        return min(self.samples, len(real))

    def provenance(self, real: Images) -> Any:
        return {**super().provenance(real), "k": self.k}


def precision_and_recall(generated: Tensor, real: Tensor, k: int) -> tuple[float, float]:
    """Precision and recall of features (N, d) and (M, d). Raises UsageError unless there are more than k of each."""
    if min(len(generated), len(real)) <= k:
        raise UsageError(
            f"precision-recall needs more than k = {k} images of each kind; there are {len(generated)} generated and "
            f"{len(real)} real ones."
        )
    centre = real.double().mean(0)
    x, y = generated.double() - centre, real.double() - centre
    return _covered(x, y, _radii(y, k)), _covered(y, x, _radii(x, k))


def _squared_distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The squared distances of some rows of ``x`` (N, d) at a time from ``y`` (M, d), with the number of the first."""
    b = y.square().sum(1)
    rows = max(1, DISTANCES // len(y))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        norms = part.square().sum(1)[:, None] + b
        d = norms - 2 * part @ y.T
        yield start, torch.where(d < ROUNDING * norms, 0.0, d)


def _radii(x: Tensor, k: int) -> Tensor:
    """The squared distance of each vector to the k-th nearest other one, (N,)."""
    found = []
    for start, d in _squared_distances(x, x):
        d[torch.arange(len(d)), start + torch.arange(len(d))] = torch.inf
        found.append(d.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _covered(x: Tensor, by: Tensor, radii: Tensor) -> float:
    """The share of ``x`` that lies in a ball around one of ``by`` of these squared radii."""
    inside = sum(int((d <= radii).any(1).sum()) for _, d in _squared_distances(x, by))
    return inside / len(x)
