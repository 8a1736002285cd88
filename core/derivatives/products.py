"""Products with blocks of J at one point, and the count of all that has been evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..game.tree import Params, Player
from ..tracing.traced import transform_active, vmap_size

Rows = tuple[Player, ...]  # players, as the rows or columns of J that are theirs
LinearMap = Callable[[Params], Params]
VAndProducts = tuple[Any, list[LinearMap]]  # v and the losses, or None; and products at the same point


class Block(NamedTuple):
    """The block of J with these players' rows and columns; with ``adjoint``, the transpose of this block."""

    rows: Rows
    cols: Rows
    adjoint: bool = False


Spent = tuple[float, int, int]  # gradients, products, samples


@dataclass
class Cost:
    """What a run has cost so far.

    gradients   evaluations of v; the gradient of one of n players counts as 1/n
    products    products with J or its transpose, or with a block of it
    samples     data samples drawn
    solving     seconds spent in steps of the solver, draws included
    measuring   seconds spent on all else: observers, spectra, checkpoints
    """

    gradients: float = 0
    products: int = 0
    samples: int = 0
    solving: float = 0.0
    measuring: float = 0.0

    def spend(self, spent: Spent, players: int) -> None:
        """Add ``spent``."""
        self.gradients = round((self.gradients + spent[0]) * players) / players  # an exact multiple of 1/players
        self.products += spent[1]
        self.samples += spent[2]

    @property
    def spent(self) -> Spent:
        """The counts without the seconds, as a checkpoint stores them."""
        return self.gradients, self.products, self.samples

    @spent.setter
    def spent(self, spent: Spent) -> None:
        self.gradients, self.products, self.samples = spent


@dataclass(eq=False)
class CountedProduct:
    """The product with ``block`` at one point: a linear map, counted in ``cost`` each time it is used.

    ``make()`` gives the map at the first use, unless v was evaluated along with it and has set it already.
    """

    block: Block
    cost: Cost
    make: Callable[[], LinearMap]
    map: LinearMap | None = None
    weight: int = 1  # how many products one use counts as: more than 1 if the losses contain derivatives

    def __call__(self, u: Params) -> Params:
        self.cost.products += self.weight * vmap_size()
        if self.map is None:
            map = self.make()
            if transform_active():  # made inside a torch.func transform: it is not valid outside, so it is not kept
                return map(u)
            self.map = map
        return self.map(u)
