"""The losses of the first GAN papers, as functions of logits d.

saturating      f = E log sigma(D(x)) + E log(1 - sigma(D(G(z)))), generator down, discriminator up
non-saturating  the same discriminator; the generator descends -E log sigma(D(G(z)))
wgan            f = E D(x) - E D(G(z))

Goodfellow et al. (2014, arXiv 1406.2661); Arjovsky et al. (2017, arXiv 1701.07875). One-sided label smoothing:
Salimans et al. (2016, arXiv 1606.03498), section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from ...core.game.loss import Loss
from ...core.options import Share, option


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """The discriminator of both. It labels generated data 0 and real data 1 - smoothing."""

    smoothing: Share = option(0.0, "real data have the label 1 - smoothing instead of 1, for the discriminator")

    def g_real(self, d: Tensor) -> Tensor:
        if not self.smoothing:
            return -logsigmoid(d)
        return -(1 - self.smoothing) * logsigmoid(d) - self.smoothing * logsigmoid(-d)

    def g_fake(self, d: Tensor) -> Tensor:
        return -logsigmoid(-d)


@dataclass(frozen=True)
class Saturating(CrossEntropy):
    """Zero-sum: the generator descends f, and the discriminator ascends the same f."""

    zero_sum = True

    def f_real(self, d: Tensor) -> Tensor:
        return -self.g_real(d)

    def f_fake(self, d: Tensor) -> Tensor:
        return logsigmoid(-d)  # log(1 - sigma(d))


@dataclass(frozen=True)
class NonSaturating(CrossEntropy):
    """The generator ascends E log sigma(D(G(z))): the same fixed points, with larger gradients at the beginning."""

    def f_fake(self, d: Tensor) -> Tensor:
        return -logsigmoid(d)


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
