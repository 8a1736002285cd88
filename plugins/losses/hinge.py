"""The hinge loss: E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) against -E D(G(z)).

Lim and Ye (2017, arXiv 1705.02894); Miyato et al. (2018, arXiv 1802.05957), eq. 16-17. The best
discriminator is sign(p - q), where its loss is 2 - 2 TV(p, q).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import relu

from ...core.game.loss import Loss


@dataclass(frozen=True)
class Hinge(Loss):
    """Real data are to pass a margin of 1, generated data one of -1."""

    def f_fake(self, d: Tensor) -> Tensor:
        return -d

    def g_real(self, d: Tensor) -> Tensor:
        return relu(1 - d)

    def g_fake(self, d: Tensor) -> Tensor:
        return relu(1 + d)
