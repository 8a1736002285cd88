"""Alternating gradient descent.

    theta_1 <- theta_1 - eta v_1(theta_1, theta_2),   then   theta_2 <- theta_2 - eta v_2(theta_1, theta_2), ...

Players move in turn, each from a gradient that sees the moves before it. Mescheder, Nowozin and Geiger (2017, arXiv
1705.10461), supplement, Alg. 3. ``repeats`` is n_critic of Gulrajani et al. (2017, arXiv 1704.00028), who move the
critic five times a turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....core.errors import UsageError
from ....core.options import option
from ....core.solver.play_orders import Alternating
from ....core.solver.solver import Composed


@dataclass(frozen=True)
class Altgd(Composed):
    """theta_i - lr * rule(v_i) for each player in turn, ``repeats`` times."""

    repeats: int | dict[str, int] = option(1, "moves of each player a turn, one number or one per player")

    def __post_init__(self) -> None:
        counts = self.repeats.values() if isinstance(self.repeats, dict) else [self.repeats]
        if not all(isinstance(n, int) and n >= 1 for n in counts):
            raise UsageError(f"repeats must be whole numbers of at least 1, got {self.repeats!r}.")

    @property
    def order(self) -> Alternating:
        return Alternating(self.repeats)
