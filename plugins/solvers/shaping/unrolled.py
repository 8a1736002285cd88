"""Unrolled play: a player descends its loss at the point that k gradient steps of its opponents lead to.

    theta_i <- theta_i - eta grad_i l_i(theta_i, theta_{-i}^(k)(theta)),  theta_j^(t+1) = theta_j^(t) - alpha grad_j l_j

The k steps are differentiated. Metz et al. (2017, arXiv 1611.02163), section 2, where the generator, the first player,
foresees and the discriminator does not; with ``everyone`` all players do. Several opponents step simultaneously.
k = 0 is simgd; k = 1 with ``everyone`` is the exact lola.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from ....core.derivatives.local import LocalGame
from ....core.errors import UsageError
from ....core.game.tree import Params
from ....core.options import StepSize, option
from ....core.solver.solver import Composed
from . import transforms


@lru_cache
def _wrap(k: int, foreseeing: tuple[str, ...]) -> Any:
    """The same object for the same arguments: the evaluator keeps what it traced of a wrapped game under it."""
    return partial(transforms.Unrolled, k=k, foreseeing=foreseeing)


@dataclass(frozen=True)
class Unrolled(Composed):
    """theta - lr * rule(gradient through k steps of the opponents)."""

    k: int = option(5, "steps of the opponents")
    opponent_lr: StepSize | None = option(None, "alpha, their step size; by default lr")
    everyone: bool = option(False, "every player sees ahead, not the first alone")

    def __post_init__(self) -> None:
        if self.k < 0:
            raise UsageError(f"k must be at least 0, got {self.k}.")

    def direction(self, local: LocalGame) -> Params:
        alpha = self.lr if self.opponent_lr is None else self.opponent_lr
        foreseeing = local.players if self.everyone else local.players[:1]
        return local.under(_wrap(self.k, foreseeing), opponent_lr=alpha).gradient()
