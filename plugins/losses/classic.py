"""The losses of the first GAN papers, as functions of logits d.

saturating      f = E log sigma(D(x)) + E log(1 - sigma(D(G(z)))), generator down, discriminator up
non-saturating  the same discriminator; the generator descends -E log sigma(D(G(z)))
wgan            f = E D(x) - E D(G(z))

Goodfellow et al. (2014, arXiv 1406.2661); Arjovsky et al. (2017, arXiv 1701.07875).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from ...core.game.loss import Loss


@dataclass(frozen=True)
class Saturating(Loss):
    """Zero-sum: the generator descends f, and the discriminator ascends the same f."""

    zero_sum = True

    def f_real(self, d: Tensor) -> Tensor:
        return logsigmoid(d)

    def f_fake(self, d: Tensor) -> Tensor:
        return logsigmoid(-d)  # log(1 - sigma(d))

    def g_real(self, d: Tensor) -> Tensor:
        return -logsigmoid(d)

    def g_fake(self, d: Tensor) -> Tensor:
        return -logsigmoid(-d)


@dataclass(frozen=True)
class NonSaturating(Loss):
    """The generator ascends E log sigma(D(G(z))): the same fixed points, with larger gradients at the beginning."""

    def f_fake(self, d: Tensor) -> Tensor:
        return -logsigmoid(d)

    def g_real(self, d: Tensor) -> Tensor:
        return -logsigmoid(d)

    def g_fake(self, d: Tensor) -> Tensor:
        return -logsigmoid(-d)


@dataclass(frozen=True)
class Wgan(Loss):
    """The difference of the mean logits. It does not bound the Lipschitz constant of D: add a regulariser for that."""

    zero_sum = True

    def f_real(self, d: Tensor) -> Tensor:
        return d

    def f_fake(self, d: Tensor) -> Tensor:
        return -d

    def g_real(self, d: Tensor) -> Tensor:
        return -d

    def g_fake(self, d: Tensor) -> Tensor:
        return d
