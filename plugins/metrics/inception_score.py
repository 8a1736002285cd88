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
from .measured import FeatureMetric, SeenReal

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

    def tally(self) -> Scores:
        return Scores(self.samples, self.splits)

    def figures_of(self, tally: Scores, seen: SeenReal) -> dict[str, float]:
        scores = tally.result()
        return {"inception_score": float(scores.mean()), "inception_score_std": float(scores.std())}

    def real_samples(self, real: Images) -> int:
        return 0

    def provenance(self, real: Images) -> Any:
        return {**super().provenance(real), "splits": self.splits}


class Scores:
    """The score of each of ``splits`` splits of ``count`` images, whose logits come block by block.

    Of each split only sums are kept: of sum_y p log p, and of p for each class, the latter as its logarithm.
    """

    def __init__(self, count: int, splits: int) -> None:
        place = np.empty(count, dtype=np.int64)
        place[np.random.RandomState(SEED).permutation(count)] = np.arange(count)
        ends = np.array([(i + 1) * count // splits for i in range(splits)])
        self._sizes = torch.from_numpy(np.diff(ends, prepend=0)).to(torch.float64)
        self._split = torch.from_numpy(np.searchsorted(ends, place, side="right"))  # of each image, as generated
        self._at, self._entropies, self._marginals = 0, torch.zeros(splits, dtype=torch.float64), torch.zeros(0)

    def add(self, features: Tensor | None, logits: Tensor | None) -> None:
        """Take a block of logits (B, K). Raises UsageError for None."""
        if logits is None:
            raise UsageError("inception-score needs the logits of classes, and this extractor gives features only.")
        log_p = logits.to("cpu", torch.float64).log_softmax(1)
        if not self._at:
            self._marginals = torch.full((len(self._sizes), log_p.shape[1]), -math.inf, dtype=torch.float64)
        own = self._split[self._at : self._at + len(log_p)]
        self._entropies.index_add_(0, own, _p_log_p(log_p))
        for i in own.unique().tolist():
            self._marginals[i] = torch.logaddexp(self._marginals[i], log_p[own == i].logsumexp(0))
        self._at += len(log_p)

    def result(self) -> np.ndarray:
        """The scores (splits,)."""
        marginals = self._marginals - self._sizes.log()[:, None]
        return (self._entropies / self._sizes - _p_log_p(marginals)).exp().numpy()


def inception_scores(blocks: Iterable[Tensor | None], count: int, splits: int) -> np.ndarray:
    """The score of each split (splits,), from blocks of logits (B, K), ``count`` in all, as `Scores` gives them."""
    found = Scores(count, splits)
    for logits in blocks:
        found.add(None, logits)
    return found.result()


def _p_log_p(log_p: Tensor) -> Tensor:
    """The sum of p log p over the last axis; 0 where p = 0."""
    return torch.where(log_p > -math.inf, log_p.exp() * log_p, 0.0).sum(-1)
