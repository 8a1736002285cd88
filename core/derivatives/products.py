"""Products with the blocks of J at one point, and what has been evaluated so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..game.tree import Params, Player
from ..tracing.traced import lanes, watched

Rows = tuple[Player, ...]
Linear = Callable[[Params], Params]


class Block(NamedTuple):
    """Some rows and columns of J, or with ``adjoint`` of its adjoint."""

    rows: Rows
    cols: Rows
    adjoint: bool = False


Spent = tuple[float, int, int]


@dataclass
class Cost:
    """What has been evaluated so far: gradients of everyone, products with J or its transpose, data samples.

    The gradient of one of n players is 1/n. ``solving`` and ``measuring`` are the seconds that the solver's steps and
    draws took, and those that looking on and saving did.
    """

    gradients: float = 0
    products: int = 0
    samples: int = 0
    solving: float = 0.0
    measuring: float = 0.0

    def spend(self, spent: Spent, players: int) -> None:
        self.gradients = round((self.gradients + spent[0]) * players) / players  # sums in any order are the same
        self.products += spent[1]
        self.samples += spent[2]

    @property
    def spent(self) -> Spent:
        return self.gradients, self.products, self.samples

    @spent.setter
    def spent(self, spent: Spent) -> None:
        self.gradients, self.products, self.samples = spent


@dataclass(eq=False)
class Product:
    """A product with a block of J at one point, made at its first use unless it was made along with v."""

    block: Block
    cost: Cost
    make: Callable[[], Linear]
    map: Linear | None = None
    weight: int = 1  # products that one takes: v may be made of derivatives itself

    def __call__(self, u: Params) -> Params:
        self.cost.products += self.weight * lanes()
        if self.map is None:
            map = self.make()
            if watched():  # made of what a transform sees: not to outlive it
                return map(u)
            self.map = map
        return self.map(u)
