"""A Gaussian fitted to vectors that come block by block, and the Fréchet distance of two of them.

No covariance matrix is formed. Of the centred vectors, one below another, only the triangular factor R of a QR
decomposition is kept, and renewed with each block: R^T R / (n - 1) is the covariance. With R and S scaled so, and the
orthogonal Q that brings Q S nearest to R,

    |m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)) = |m - m'|^2 + |R - Q S|^2        (Frobenius norm)

because Tr (C C')^(1/2) is the nuclear norm of R S^T. It is a sum of squares: nothing cancels, and no root is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import UsageError

ROWS = 1000  # vectors that are decomposed at once, at least


@dataclass(frozen=True)
class Gaussian:
    """A mean, ``origin + offset`` (d,), and a covariance, ``root.T @ root`` (d, d), where root is (k, d), k <= d.

    Subtracting the origin, which is one of the vectors, costs no digits: they may lie far from zero.
    """

    origin: Tensor
    offset: Tensor
    root: Tensor


class GaussianFit:
    """The Gaussian with the mean and the unbiased covariance of vectors that come block by block, in float64.

    It takes about 3 d (d + 1,000) numbers of memory, however many vectors there are.
    """

    def __init__(self) -> None:
        self.count, self.origin, self.offset, self.factor = 0, torch.zeros(0), torch.zeros(0), torch.zeros(0)
        self._waiting: list[Tensor] = []  # blocks that are too small to make a decomposition worth while

    def add(self, features: Tensor, logits: Tensor | None = None) -> None:
        """Take a block of vectors (B, d)."""
        self._waiting.append(features.to("cpu", torch.float64))
        if sum(map(len, self._waiting)) >= max(ROWS, features.shape[1]):
            self._take()

    def _take(self) -> None:
        block, self._waiting = torch.cat(self._waiting), []
        if not self.count:
            self.origin, self.offset, self.factor = block[0].clone(), torch.zeros_like(block[0]), block[:0]
        x = block - self.origin
        mean = x.mean(0)
        x = x - mean
        rest = x.mean(0)  # what rounding has left
        step, total = mean + rest - self.offset, self.count + len(x)
        between = (self.count * len(x) / total) ** 0.5 * step
        self.factor = torch.linalg.qr(torch.cat([self.factor, x - rest, between[None]]), mode="r").R
        self.offset, self.count = self.offset + len(x) / total * step, total

    def result(self) -> Gaussian:
        """The Gaussian of all vectors. Raises UsageError for fewer than two."""
        if self._waiting:
            self._take()
        if self.count < 2:
            raise UsageError(f"a covariance needs two images or more, got {self.count}: raise samples.")
        return Gaussian(self.origin, self.offset, self.factor / (self.count - 1) ** 0.5)


def fit(blocks: Iterable[Tensor]) -> Gaussian:
    """The Gaussian of all vectors in ``blocks`` (B, d), as `GaussianFit` gives it."""
    found = GaussianFit()
    for block in blocks:
        found.add(block)
    return found.result()


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet (2-Wasserstein) distance of two Gaussians. Dowson and Landau (1982), eq. 4."""
    shift = (a.origin - b.origin) + (a.offset - b.offset)
    rows = max(len(a.root), len(b.root))
    R, S = (torch.cat([g.root, g.root.new_zeros(rows - len(g.root), g.root.shape[1])]) for g in (a, b))
    U, _, Vh = torch.linalg.svd(R @ S.T)
    return float(shift.square().sum() + (R - U @ Vh @ S).square().sum())
