"""What one step gives: the parts of the next state, and what the solver evaluated on the way."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Memory, StepInfo


@dataclass(frozen=True)
class Step:
    """A step that was taken from a state and is not yet committed.

    params           the next parameters
    memory           the solver's next memory
    buffers          the game's buffers, refreshed before the step, with the place in the data after it
    info             losses and v where the solver first evaluated them, and the report of an inner solve
    batches          the batches that it drew, in order
    checked_tensors  the tensors of memory and buffers as a list, for the check that they are finite
    """

    params: Params
    memory: Memory
    buffers: Buffers
    info: StepInfo
    batches: list[Batch]
    checked_tensors: list[Tensor]
