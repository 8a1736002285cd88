"""GAN losses: four functions of the discriminator's logits.

The general form of Schäfer, Zheng and Anandkumar (2019, arXiv 1910.05852), eq. 2-3:

    generator       E f_real(D(x)) + E f_fake(D(G(z)))
    discriminator   E g_real(D(x)) + E g_fake(D(G(z)))

and both players minimise theirs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class Loss(ABC):
    """A GAN loss. A subclass gives the four functions of logits, element by element: (B,) to (B,)."""

    kind = "loss"
    zero_sum: bool = False
    """Whether f_real + g_real and f_fake + g_fake are constants, so that the two losses have a constant sum."""

    def f_real(self, d: Tensor) -> Tensor | float:
        """The generator's term on real data. Usually 0: it does not depend on the generator's parameters."""
        return 0.0

    @abstractmethod
    def f_fake(self, d: Tensor) -> Tensor:
        """The generator's term on generated data."""

    @abstractmethod
    def g_real(self, d: Tensor) -> Tensor:
        """The discriminator's term on real data."""

    @abstractmethod
    def g_fake(self, d: Tensor) -> Tensor:
        """The discriminator's term on generated data."""

    def __call__(self, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        """Both players' losses, scalars, from the logits on real (B,) and on generated data (B,)."""
        return self.losses(mean, d_real, d_fake)

    def losses(self, expectation: Any, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        """Both players' losses with ``expectation`` in place of the mean, for games that integrate by quadrature."""
        f_real = self.f_real(d_real)
        generator = expectation(self.f_fake(d_fake))
        if isinstance(f_real, Tensor):
            generator = generator + expectation(f_real)
        return {
            "generator": generator,
            "discriminator": expectation(self.g_real(d_real)) + expectation(self.g_fake(d_fake)),
        }


def mean(x: Tensor) -> Tensor:
    """The mean over the batch."""
    return x.mean()
