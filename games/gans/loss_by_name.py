"""The loss of a GAN, which may be given by its name."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.game.game import GanGame
from ...core.registry.registry import make


@dataclass(frozen=True)
class GanWithLoss(GanGame):
    """A GAN whose option ``loss``, a name, a table {name, options} or a loss itself, is made a loss."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", make("loss", self.loss))
