"""A batch cut into shares, one for each process, and a game whose losses are those of a share.

Every process draws the whole batch, from the same generator, and takes its own samples. The loss of a share is weighted
with the share's part of all samples, so that the sum over the processes is the loss of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ..collective import Ranks, Share, seen_by_losses
from ..errors import UsageError
from ..game.game import Game, innermost
from ..game.tree import Batch, Params, Player

WEIGHT, PLACES = "share/weight", "share/places"  # entries of a share that say what it is of the whole


@dataclass(frozen=True)
class Shares:
    """Cuts batches of ``game`` into ``ranks.count`` shares. ``members``: an axis of members precedes all others."""

    game: Game
    ranks: Ranks
    members: bool = False

    def own(self, batch: Batch) -> Batch:
        """This process's share of ``batch``. Raises UsageError if the batch cannot be cut."""
        entries = {name: x for name, x in batch.items() if name in self.game.sample_axes}
        counts = sorted({n for name, x in entries.items() for n in self._lengths(name, x)})
        if not counts:
            raise UsageError(f"{self._name} {NOT_SPLIT}")
        bounds = {n: self._bounds(n) for n in counts}
        weights = [{self._weight(n, rank) for n in counts} for rank in range(self.ranks.count)]
        if counts[0] < self.ranks.count or any(len(each) > 1 for each in weights):  # the same answer in all processes
            sizes = " and ".join(map(str, counts))
            raise UsageError(
                f"batches of {sizes} cannot be split over {self.ranks.count} processes: take a batch that they divide."
            )
        places = tuple((stop - start, n, start) for n, (start, stop) in bounds.items())
        own = {name: tree_map(lambda t, name=name: self._cut(name, t), x) for name, x in entries.items()}
        return {**batch, **own, WEIGHT: weights[self.ranks.rank].pop(), PLACES: places}

    def _axis(self, name: str) -> int:
        return self.game.sample_axes[name] + self.members

    def _lengths(self, name: str, x: Any) -> list[int]:
        return [t.shape[self._axis(name)] for t in tree_leaves(x) if isinstance(t, Tensor)]

    def _bounds(self, count: int, rank: int | None = None) -> tuple[int, int]:
        """Where the share of so many samples begins and ends: this process's, or that of ``rank``."""
        rank, ranks = self.ranks.rank if rank is None else rank, self.ranks.count
        return count * rank // ranks, count * (rank + 1) // ranks

    def _weight(self, count: int, rank: int) -> float:
        start, stop = self._bounds(count, rank)
        return (stop - start) / count

    def _cut(self, name: str, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        start, stop = self._bounds(x.shape[axis := self._axis(name)])
        return x.narrow(axis, start, stop - start)

    @property
    def _name(self) -> str:
        return type(innermost(self.game)).__name__


NOT_SPLIT = (
    "says of no entry of its batch that it holds samples, so it cannot be split over processes: play it in one, or "
    "name these entries with the axis of the samples in sample_axes, as {'real': 0}, if its losses are means over them."
)


@dataclass(frozen=True)
class ShareGame(Game):
    """``game`` whose batch is this process's share: the sum of the losses over the processes is that of the batch."""

    game: Game
    ranks: Ranks

    def __post_init__(self) -> None:
        object.__setattr__(self, "players", tuple(self.game.players))

    def init(self, rng: torch.Generator) -> Params:
        return self.game.init(rng)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        batch = dict(batch)
        share = Share(self.ranks, batch.pop(WEIGHT), batch.pop(PLACES))
        with seen_by_losses(share):
            losses = self.game.losses(params, batch)
        return {i: x * share.weight for i, x in losses.items()}
