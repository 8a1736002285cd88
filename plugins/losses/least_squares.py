"""The least-squares loss: E (D(x) - b)^2 / 2 + E (D(G(z)) - a)^2 / 2 against E (D(G(z)) - c)^2 / 2.

Mao et al. (2017, arXiv 1611.04076): a = 0, b = c = 1, eq. 9; with a = -1, b = 1, c = 0, eq. 8, a generator facing the
best discriminator descends Pearson's chi-squared divergence between (p + q) / 2 and q, eq. 6-7.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...core.game.loss import Loss
from ...core.options import option


@dataclass(frozen=True)
class LeastSquares(Loss):
    """Squared distances from labels."""

    a: float = option(0.0, "label of generated data, for the discriminator")
    b: float = option(1.0, "label of real data, for the discriminator")
    c: float = option(1.0, "value that the generator wants the discriminator to give its data")

    def f_fake(self, d: Tensor) -> Tensor:
        return (d - self.c) ** 2 / 2

    def g_real(self, d: Tensor) -> Tensor:
        return (d - self.b) ** 2 / 2

    def g_fake(self, d: Tensor) -> Tensor:
        return (d - self.a) ** 2 / 2
