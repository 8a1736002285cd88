"""The state of a run: all that the next step depends on, and how a checkpoint stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import nested
from ..derivatives.products import Spent
from ..errors import BadLog
from ..game.buffers import leaves_from_checkpoint, primitives_of, tensors_of
from ..game.tree import Buffers, Params
from .solver import Memory


def tensors(x: Any) -> list[Tensor]:
    """All tensors of nested dictionaries, lists and tuples, in the order in which they stand."""
    return [leaf for leaf in nested.leaves(x) if isinstance(leaf, Tensor)]


class BestValue(NamedTuple):
    """The best measurement so far of the quantity in a run's stopping condition: the value, and at which step."""

    value: float
    step: int


@dataclass(frozen=True)
class State:
    """The state of a run before step ``step``."""

    step: int
    params: Params
    memory: Memory  # the solver's
    buffers: Buffers  # the game's
    rngs: tuple[Tensor, ...]  # the state of each member's random generator
    alive: Tensor  # bool, () or (M,): the members that have stayed finite
    bound: Tensor  # () or (M,): the norm of the parameters from which on they count as diverged
    cost: Spent = (0.0, 0, 0)  # gradients, products and samples so far
    best: BestValue | None = None  # None: nothing was measured for a stopping condition, or no finite number

    def generators(self) -> list[torch.Generator]:
        """New generators of the members, in the states of ``rngs``."""
        out = [torch.Generator() for _ in self.rngs]
        for rng, saved in zip(out, self.rngs, strict=True):
            rng.set_state(saved)
        return out

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint stores as tensors, in nested dictionaries."""
        return {
            "params": self.params, "memory": self.memory,
            "buffers": tensors_of(self.buffers),
            "rngs": {str(m): rng for m, rng in enumerate(self.rngs)},
            "alive": self.alive, "bound": self.bound,
        }  # fmt: skip

    def numbers(self) -> dict[str, Any]:
        """What a checkpoint stores as JSON: the step, the cost, the best value, what is no tensor in the buffers."""
        best = {} if self.best is None else {"best": list(self.best)}
        return {"step": self.step, "cost": list(self.cost), **best, "buffers": primitives_of(self.buffers)}

    def restored(self, tensors: Mapping[str, Any], numbers: Mapping[str, Any]) -> State:
        """The state stored as ``tensors`` and ``numbers``, on the devices of this one, the first state of the run.

        Raises BadLog if structure, shapes or dtypes differ: then it belongs to another game or solver.
        """
        try:
            own = {**self.tensors(), "rngs": tensors["rngs"], "buffers": self.buffers}
            found = leaves_from_checkpoint(own, tensors, {"buffers": numbers.get("buffers")}, "")
            for m in range(len(self.rngs)):
                torch.Generator().set_state(found["rngs"][str(m)])
            return State(
                step=int(numbers["step"]),
                params=found["params"],
                memory=found["memory"],
                buffers=found["buffers"],
                rngs=tuple(found["rngs"][str(m)] for m in range(len(self.rngs))),
                alive=found["alive"],
                bound=found["bound"],
                cost=(float(numbers["cost"][0]), int(numbers["cost"][1]), int(numbers["cost"][2])),
                best=None if (best := numbers.get("best")) is None else BestValue(float(best[0]), int(best[1])),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            raise BadLog(
                f"the checkpoint does not fit this game and solver: {error}. If an older version wrote it, which drew "
                "or kept other things, play the run again; counterplay.load_params reads its parameters, to start from."
            ) from error
