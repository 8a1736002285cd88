"""Products with the blocks of J at one point, and what has been evaluated so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .game import Game
from .trace import lanes, watched
from .tree import Params, Player

Rows = tuple[Player, ...]
Linear = Callable[[Params], Params]


class Block(NamedTuple):
    """Some rows and columns of J, or with ``adjoint`` of its adjoint."""

    rows: Rows
    cols: Rows
    adjoint: bool = False


@dataclass
class Cost:
    """What has been evaluated so far: gradients of a loss set, products with J or its transpose, data samples."""

    gradients: int = 0
    products: int = 0
    samples: int = 0

    def add(self, game: Game) -> None:
        """One evaluation of the field; that of a game whose losses hold derivatives takes what ``game.work`` says."""
        gradients, products = getattr(game, "work", (1, 0))
        self.gradients += gradients
        self.products += products


@dataclass
class Clock:
    """The step at which a run is."""

    step: int = 0


@dataclass(eq=False)
class Product:
    """A product with a block of J at one point, made at its first use unless it was made along with v."""

    block: Block
    cost: Cost
    make: Callable[[], Linear]
    map: Linear | None = None

    def __call__(self, u: Params) -> Params:
        self.cost.products += lanes()
        if self.map is None:
            map = self.make()
            if watched():  # made of what a transform sees: not to outlive it
                return map(u)
            self.map = map
        return self.map(u)
