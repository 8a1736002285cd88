"""GAN losses: what both players minimise, as functions of the discriminator's logits.

Most are four functions of one logit each, the general form of Schäfer, Zheng and Anandkumar (2019, arXiv 1910.05852),
eq. 2-3; both players minimise theirs:

    generator       E f_real(D(x)) + E f_fake(D(G(z)))
    discriminator   E g_real(D(x)) + E g_fake(D(G(z)))

:class:`Loss` is this form. A :class:`BatchLoss` sees all logits at once: differences of logits, kernels between them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor
from torch.func import vmap

from ..collective import whole_batch

Expectation = Callable[[Tensor], Tensor]
"""(B,) -> (): the mean over a batch, or a quadrature's weighted sum."""


class GanLoss(ABC):
    """The losses of a generator and a discriminator."""

    kind = "loss"  # what an option of this type is said to be
    zero_sum: bool = False
    """Whether the two losses have a constant sum."""

    @abstractmethod
    def losses(self, expectation: Expectation, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        """Both players' losses, scalars, from the logits on real (B,) and on generated data (B',)."""

    def __call__(self, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        """Both players' losses, scalars, from a batch of logits on real (B,) and one on generated data (B',)."""
        return self.losses(mean, d_real, d_fake)


class Loss(GanLoss):
    """A loss of four functions of logits. A subclass gives them, element by element: (B,) to (B,).

    It is ``zero_sum`` where f_real + g_real and f_fake + g_fake are constants.
    """

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

    def losses(self, expectation: Expectation, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        f_real = self.f_real(d_real)
        generator = expectation(self.f_fake(d_fake))
        if isinstance(f_real, Tensor):
            generator = generator + expectation(f_real)
        return {
            "generator": generator,
            "discriminator": expectation(self.g_real(d_real)) + expectation(self.g_fake(d_fake)),
        }


class BatchLoss(GanLoss):
    """A loss of both batches of logits as a whole. A subclass defines ``losses`` with any expectation.

    It sees the logits of the whole batch where this is split over processes.
    """

    def __call__(self, d_real: Tensor, d_fake: Tensor) -> dict[str, Tensor]:
        return self.losses(mean, whole_batch(d_real), whole_batch(d_fake))


def mean(x: Tensor) -> Tensor:
    """The mean over the batch."""
    return x.mean()


def over_pairs(expectation: Expectation, h: Tensor) -> Tensor:
    """The expectation of h (B, B') over independent pairs, a scalar."""
    return expectation(vmap(expectation)(h))
