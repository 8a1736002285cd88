"""The maximum mean discrepancy between real and generated data, by kernels of the discriminator's outputs.

    MMD^2 = E k(d, d') - 2 E k(d, e) + E k(e, e'),    d = D(x), e = D(G(z))

The generator descends it. The discriminator, which makes the kernel k(D(.), D(.)), ascends it: Li et al. (2017, arXiv
1705.08584), section 3; with a fixed D it is the loss of Li, Swersky and Zemel (2015, arXiv 1502.02761).

gaussian             sum over bandwidths s of exp(-(d - e)^2 / (2 s^2)); 1, 2, 4, 8, 16 in both papers' code
rational-quadratic   sum over a of (1 + (d - e)^2 / (2 a))^-a; .2, .5, 1, 2, 5 of Binkowski et al. (2018, arXiv
                     1801.01401)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ...core.errors import UsageError
from ...core.game.loss import BatchLoss, Expectation, mean, over_pairs
from ...core.options import Positive, option

USUAL = {"gaussian": (1.0, 2.0, 4.0, 8.0, 16.0), "rational-quadratic": (0.2, 0.5, 1.0, 2.0, 5.0)}


@dataclass(frozen=True)
class Mmd(BatchLoss):
    """MMD^2 of the two batches of logits. With ``unbiased``, its unbiased estimate."""

    zero_sum = True
    kernel: Literal["gaussian", "rational-quadratic"] = option("gaussian", "of two logits")
    bandwidths: tuple[Positive, ...] | None = option(None, "its scales; null: those of the papers")
    unbiased: bool = option(False, "leave out each datum's kernel with itself; needs two or more in a batch")

    def __post_init__(self) -> None:
        if self.bandwidths is not None and not self.bandwidths:
            raise UsageError("mmd: bandwidths must be one or more numbers, or null for those of the papers; got none.")

    def losses(self, expectation: Expectation, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        between = over_pairs(expectation, self._kernel(d_real, d_fake))
        distance = self._within(expectation, d_real) - 2 * between + self._within(expectation, d_fake)
        return {"generator": distance, "discriminator": -distance}

    def _within(self, expectation: Expectation, d: Tensor) -> Tensor:
        k = self._kernel(d, d)
        if not (self.unbiased and expectation is mean):
            return over_pairs(expectation, k)
        n = len(d)
        if n < 2:
            raise UsageError("mmd with unbiased=true needs two or more data in a batch; this game has one.")
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """(B,) and (B',) to (B, B')."""
        square = (a[:, None] - b) ** 2
        scales = self.bandwidths or USUAL[self.kernel]
        if self.kernel == "gaussian":
            terms = [(-square / (2 * s**2)).exp() for s in scales]
        else:
            terms = [(1 + square / (2 * s)) ** -s for s in scales]
        return sum(terms[1:], terms[0])
