"""Inception score: whether each generated image is of a clear class, and all classes appear.

    IS = exp E KL(p(y | x) || p(y))

Salimans et al. (2016, arXiv 1606.03498), section 4. Defined as in torch-fidelity: images in the order of
numpy's ``RandomState(2020).permutation``, cut into splits, and the mean and the population deviation over the splits.
The sums are taken over logarithms of probabilities, so that none underflows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UsageError
from ...core.images.dataset import Images
from ...core.options import Count, option
from .measured import FeatureMetric, Seen

SEED = 2020  # torch-fidelity's


@dataclass(frozen=True)
class InceptionScore(FeatureMetric):
    """``inception_score``, from 1 to the number of classes, and its deviation over the splits."""

    figures = ("inception_score", "inception_score_std")
    higher_is_better = True

    splits: Count = option(10, "parts, over which mean and deviation are taken")

    def __post_init__(self) -> None:
        if self.splits > self.samples:
            raise UsageError(f"inception-score: {self.samples} samples cannot be cut into {self.splits} splits.")

    def figures_of(self, seen: Seen) -> dict[str, float]:
        scores = inception_scores((logits for _, logits in seen.outputs(self.samples)), self.samples, self.splits)
        return {"inception_score": float(scores.mean()), "inception_score_std": float(scores.std())}

    def real_samples(self, real: Images) -> int:
        return 0

    def provenance(self, real: Images) -> Any:
        return {**super().provenance(real), "splits": self.splits}


def inception_scores(blocks: Iterable[Tensor | None], count: int, splits: int) -> np.ndarray:
    """The score of each split (splits,), from blocks of logits (B, K), ``count`` in all. Raises UsageError for None.

    Of each split only sums are kept: of sum_y p log p, and of p for each class, the latter as its logarithm.
    """
    place = np.empty(count, dtype=np.int64)
    place[np.random.RandomState(SEED).permutation(count)] = np.arange(count)
    ends = np.array([(i + 1) * count // splits for i in range(splits)])
    split = torch.from_numpy(np.searchsorted(ends, place, side="right"))  # of each image, in the order of generation
    at, entropies, marginals = 0, torch.zeros(splits, dtype=torch.float64), torch.zeros(0)
    for logits in blocks:
        if logits is None:
            raise UsageError("inception-score needs the logits of classes, and this extractor gives features only.")
        log_p = logits.to("cpu", torch.float64).log_softmax(1)
        if not at:
            marginals = torch.full((splits, log_p.shape[1]), -math.inf, dtype=torch.float64)
        own = split[at : at + len(log_p)]
        entropies.index_add_(0, own, _p_log_p(log_p))
        for i in own.unique().tolist():
            marginals[i] = torch.logaddexp(marginals[i], log_p[own == i].logsumexp(0))
        at += len(log_p)
    sizes = torch.from_numpy(np.diff(ends, prepend=0)).to(torch.float64)
    return (entropies / sizes - _p_log_p(marginals - sizes.log()[:, None])).exp().numpy()


def _p_log_p(log_p: Tensor) -> Tensor:
    """The sum of p log p over the last axis; 0 where p = 0."""
    return torch.where(log_p > -math.inf, log_p.exp() * log_p, 0.0).sum(-1)
