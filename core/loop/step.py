"""What one step gives: the next parts of the state, and what the solver saw on the way."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Memory, StepInfo


@dataclass(frozen=True)
class Step:
    """A step from a state: where it leads, not yet committed.

    buffers   the game's as the step sees them: refreshed
    batches   those that it drew, in this order
    rest      the tensors of memory and buffers that are still to be looked at, flat
    """

    params: Params
    memory: Memory
    buffers: Buffers
    info: StepInfo
    batches: list[Batch]
    rest: list[Tensor]
