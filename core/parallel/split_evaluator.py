"""An evaluator whose batch is split over the processes of a run.

v, losses and the products J u and J^T w are those of this process's samples, summed over the processes after the
derivative was taken; so every solver sees the game of the whole batch. Each sum is one message. What is differentiated
further is summed by functions that can be (`core.collective`).

A game whose losses are made of derivatives of the losses (``variant``: opponent shaping) is played on the whole batch
by every process, which is exact and no faster than one process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from torch import Tensor
from torch.utils._pytree import tree_leaves

from ..collective import Ranks
from ..derivatives.eager import Eager
from ..derivatives.evaluator import Evaluator
from ..derivatives.products import CountedProduct, LinearMap, Rows
from ..game.checks import losses_of
from ..game.game import Game
from ..game.tree import Batch, Params, Player
from ..tracing.traced import transform_active
from .shares import ShareGame, Shares


@dataclass(frozen=True)
class SplitEvaluator(Evaluator):
    """As Evaluator, with every batch split over ``ranks``. All processes must ask for the same, in the same order."""

    ranks: Ranks = dataclasses.field(default_factory=lambda: Ranks(0, 1), compare=False)

    @staticmethod
    def over(ranks: Ranks, game: Evaluator) -> SplitEvaluator:
        """``game`` split over ``ranks``. Both count in the same cost."""
        return SplitEvaluator(**_fields(game), ranks=ranks)

    @cached_property
    def whole(self) -> Evaluator:
        """The same game on the whole batch, evaluated by this process alone."""
        own = _fields(self)
        del own["ranks"]
        return Evaluator(**own)

    @cached_property
    def eager(self) -> Eager:
        return Eager(ShareGame(self.game, self.ranks), self.members is not None)

    @cached_property
    def _shares(self) -> Shares:
        return Shares(self.game, self.ranks, self.members is not None)

    @cached_property
    def _last(self) -> list[Batch]:
        """The last batch and this process's share of it."""
        return []

    def _own(self, batch: Batch) -> Batch:
        if not self._last or self._last[0] is not batch:
            self._last[:] = batch, self._shares.own(batch)
        return self._last[1]

    def _spread(self, params: Params) -> Params:
        return cast(Params, self.ranks.spread(params)) if _differentiated(params) else params

    def _total(self, tree: Any) -> Any:
        return self.ranks.total(tree) if _differentiated(tree) else self.ranks.total_of_step(tree)

    def losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return cast(
            "dict[Player, Tensor]",
            self._total(self.over_members(self._own_losses, self._spread(params), self._own(batch))),
        )

    def _own_losses(self, params: Params, batch: Batch) -> dict[Player, Tensor]:
        return losses_of(self.eager.game, params, batch)

    def field(
        self, rows: Rows, params: Params, batch: Batch, along: Sequence[LinearMap] = ()
    ) -> tuple[Params, dict[Player, Tensor]]:
        return cast(
            "tuple[Params, dict[Player, Tensor]]",
            self._total(super().field(rows, self._spread(params), self._own(batch), along)),
        )

    def loss_gradient(self, i: Player, params: Params, batch: Batch) -> Params:
        return cast(Params, self._total(super().loss_gradient(i, self._spread(params), self._own(batch))))

    def products(self, rows: Rows, cols: Rows, params: Params, batch: Batch) -> tuple[CountedProduct, CountedProduct]:
        push, pull = super().products(rows, cols, self._spread(params), self._own(batch))
        return self._summed(push), self._summed(pull)

    def _summed(self, own: CountedProduct) -> CountedProduct:
        return SummedProduct(own.block, own.cost, own.make, own.map, own.weight, self)

    def replayed_matrix(self, product: CountedProduct, params: Params, batch: Batch) -> Tensor | None:
        found = super().replayed_matrix(product, self._spread(params), self._own(batch))
        return None if found is None else cast(Tensor, self._total(found))

    def variant(self, wrap: Callable[[Game], Game]) -> Evaluator:
        return self.whole.variant(wrap)


@dataclass(eq=False)
class SummedProduct(CountedProduct):
    """A product with J on this process's samples, summed over the processes of ``game``."""

    game: Any = None

    def __call__(self, u: Params) -> Params:
        return cast(Params, self.game._total(super().__call__(self.game._spread(u))))


def _fields(game: Evaluator) -> dict[str, Any]:
    return {field.name: getattr(game, field.name) for field in dataclasses.fields(game)}


def _differentiated(tree: Any) -> bool:
    """Whether something differentiates or vmaps what is computed from ``tree``."""
    return transform_active() or any(x.requires_grad for x in tree_leaves(tree))
