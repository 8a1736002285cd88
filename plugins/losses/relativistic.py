"""Relativistic losses, of differences between the logits of real and of generated data.

relativistic-average   every logit against the mean logit of the other side: Jolicoeur-Martineau (2019, arXiv
                       1807.00734), RaSGAN, RaLSGAN and RaHingeGAN
relativistic-pairing   E f(D(x) - D(G(z))) of pairs, f = log sigma: RpGAN there; Huang et al. (2024, arXiv
                       2501.05441), eq. 2, who add r1 and r2. Pairs are those of one index in the two batches.

The generator descends the discriminator's loss with both sides exchanged. With ``saturating`` it ascends the
discriminator's own loss instead: the zero-sum game of the formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from ...core.errors import UsageError
from ...core.game.loss import BatchLoss, Expectation, mean, over_pairs
from ...core.options import option

# The cost of a logit h that should be large. For one that should be small, it is the cost of -h.
COSTS: dict[str, Callable[[Tensor], Tensor]] = {
    "cross-entropy": lambda h: -logsigmoid(h),
    "least-squares": lambda h: (h - 1) ** 2,
    "hinge": lambda h: relu(1 - h),
}


@dataclass(frozen=True)
class RelativisticAverage(BatchLoss):
    """Each logit is compared with the mean logit of the other batch."""

    cost: Literal["cross-entropy", "least-squares", "hinge"] = option("cross-entropy", "of a relative logit")

    def losses(self, expectation: Expectation, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        cost = COSTS[self.cost]
        real, fake = d_real - expectation(d_fake), d_fake - expectation(d_real)
        return {
            "generator": expectation(cost(fake)) + expectation(cost(-real)),
            "discriminator": expectation(cost(real)) + expectation(cost(-fake)),
        }


@dataclass(frozen=True)
class RelativisticPairing(BatchLoss):
    """Each logit of a real sample is compared with that of one generated sample."""

    saturating: bool = option(False, "the generator ascends the discriminator's loss: zero-sum")

    @property
    def zero_sum(self) -> bool:  # type: ignore[override]
        return self.saturating

    def losses(self, expectation: Expectation, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        def expected(f: Callable[[Tensor], Tensor]) -> Tensor:
            if expectation is not mean:
                return over_pairs(expectation, f(d_real[:, None] - d_fake))
            if d_real.shape != d_fake.shape:
                raise UsageError(
                    f"relativistic-pairing pairs real with generated data, and got {len(d_real)} and {len(d_fake)}: "
                    "batches of the same size are expected."
                )
            return f(d_real - d_fake).mean()

        discriminator = expected(lambda h: -logsigmoid(h))
        return {
            "generator": -discriminator if self.saturating else expected(lambda h: -logsigmoid(-h)),
            "discriminator": discriminator,
        }
