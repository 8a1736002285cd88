"""f-GANs: variational bounds of the f-divergences between data p and generated data q.

    D_f(p || q) = E_q f(p / q)  >=  F = E T(x) - E f*(T(G(z))),    T = g_f(D)

The discriminator ascends F and the generator descends it. Every divergence has an output activation g_f, which maps
logits into the domain of the conjugate f*; the bound is reached at T = f'(p / q). Nowozin, Cseke and Tomioka (2016,
arXiv 1606.00709), eq. 4-7, Table 2. Each class gives two functions of the logits d: g_f(d), and f*(g_f(d)) in a
simplified form that loses no digits.

Mescheder, Nowozin and Geiger (2017, arXiv 1705.10461), Fig. 6, use other losses under the same names. The variant
"numerics" is theirs, from their code.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import log
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

from ...core.game.loss import Loss
from ...core.options import option

Variant = Literal["f-gan", "numerics"]


@dataclass(frozen=True)
class FGan(Loss):
    """F of one divergence, made of its ``activation`` and ``conjugate``."""

    zero_sum = True

    @abstractmethod
    def activation(self, d: Tensor) -> Tensor:
        """Return g_f(d), what the divergence takes as the discriminator's output."""

    @abstractmethod
    def conjugate(self, d: Tensor) -> Tensor:
        """Return f*(g_f(d)), with f* the convex conjugate of f."""

    def f_real(self, d: Tensor) -> Tensor:
        return self.activation(d)

    def f_fake(self, d: Tensor) -> Tensor:
        return -self.conjugate(d)

    def g_real(self, d: Tensor) -> Tensor:
        return -self.activation(d)

    def g_fake(self, d: Tensor) -> Tensor:
        return self.conjugate(d)


@dataclass(frozen=True)
class KullbackLeibler(Loss):
    """KL(p || q): f = u log u, g_f = d, f* = exp(t - 1). The bound is reached at d = 1 + log p/q.

    "numerics": the discriminator minimises the cross entropy, and the generator -E D(G(z)), which is KL(q || p) if the
    discriminator is optimal.
    """

    variant: Variant = option("f-gan", "f-gan: the divergence's bound; numerics: as in The numerics of GANs")

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.variant == "f-gan"

    def f_real(self, d: Tensor) -> Tensor | float:
        return d if self.zero_sum else 0.0

    def f_fake(self, d: Tensor) -> Tensor:
        return -(d - 1).exp() if self.zero_sum else -d

    def g_real(self, d: Tensor) -> Tensor:
        return -d if self.zero_sum else -logsigmoid(d)

    def g_fake(self, d: Tensor) -> Tensor:
        return (d - 1).exp() if self.zero_sum else -logsigmoid(-d)


@dataclass(frozen=True)
class ReverseKullbackLeibler(FGan):
    """KL(q || p): f = -log u, g_f = -exp(-d), f* = -1 - log(-t). The bound is reached at d = log p/q."""

    def activation(self, d: Tensor) -> Tensor:
        return -(-d).exp()

    def conjugate(self, d: Tensor) -> Tensor:
        return d - 1


@dataclass(frozen=True)
class Pearson(FGan):
    """Pearson's chi-squared, the integral of (p - q)^2 / q: f = (u - 1)^2, g_f = d, f* = t^2/4 + t.

    The bound is reached at d = 2 (p/q - 1).
    """

    def activation(self, d: Tensor) -> Tensor:
        return d

    def conjugate(self, d: Tensor) -> Tensor:
        return d**2 / 4 + d


@dataclass(frozen=True)
class Hellinger(FGan):
    """Squared Hellinger, the integral of (sqrt p - sqrt q)^2: f = (sqrt u - 1)^2, g_f = 1 - exp(-d), f* = t / (1 - t).

    The bound is reached at d = (log p/q) / 2.
    """

    def activation(self, d: Tensor) -> Tensor:
        return -(-d).expm1()

    def conjugate(self, d: Tensor) -> Tensor:
        return d.expm1()


@dataclass(frozen=True)
class JensenShannon(FGan):
    """Twice the Jensen-Shannon divergence: f = u log u - (u + 1) log((u + 1) / 2), f* = -log(2 - exp t).

    g_f = log 2 + log sigma(d). The bound is reached at d = log p/q. It is the saturating loss plus 2 log 2.
    """

    def activation(self, d: Tensor) -> Tensor:
        return log(2) + logsigmoid(d)

    def conjugate(self, d: Tensor) -> Tensor:
        return -log(2) - logsigmoid(-d)


@dataclass(frozen=True)
class TotalVariation(FGan):
    """Half the integral of |p - q|: f = |u - 1| / 2, g_f = tanh(d) / 2, f* = t. It is approached at d = +-infinity.

    "numerics": g_f = tanh(d), which is twice as much.
    """

    variant: Variant = option("f-gan", "f-gan: tanh(d)/2; numerics: tanh(d), as in The numerics of GANs")

    def activation(self, d: Tensor) -> Tensor:
        return d.tanh() / 2 if self.variant == "f-gan" else d.tanh()

    def conjugate(self, d: Tensor) -> Tensor:
        return self.activation(d)


@dataclass(frozen=True)
class Indicator(FGan):
    """0 if p = q, else infinite: E D(x) - E D(G(z)) without a bound on D. The functions are those of wgan."""

    def activation(self, d: Tensor) -> Tensor:
        return d

    def conjugate(self, d: Tensor) -> Tensor:
        return d
