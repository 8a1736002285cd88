"""What the checks of a game are made on: one member of an ensemble, and few samples of a GAN."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Cost
from ..game.game import GanGame
from ..game.tree import Batch, Buffers, Params

FEW_SAMPLES = 16


def few_samples(game: Evaluator, batch: Batch, buffers: Buffers) -> Batch:
    """The first samples of a GAN's batch: of networks, J in double precision would else take as long as 60 steps.

    What was drawn is cut where its first axis is that of the samples. Whether J is the derivative of v does not depend
    on their number.
    """
    if not isinstance(game.game, GanGame) or len(batch["real"]) <= FEW_SAMPLES:
        return batch
    count = len(batch["real"])

    def cut(x: Any) -> Any:
        return x[:FEW_SAMPLES] if isinstance(x, Tensor) and x.dim() and len(x) == count else x

    return {name: x if name in buffers else tree_map(cut, x) for name, x in batch.items()}


def single_member(game: Evaluator, params: Params, batch: Batch) -> tuple[Evaluator, Params, Batch]:
    """Member 0 as a game of its own, evaluated eagerly; its cost is not counted in the run's."""
    alone = dataclasses.replace(game, members=None, trace=False, cost=Cost())
    return alone, game.member(params, 0), game.member(dict(batch), 0)
