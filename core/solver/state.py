"""The state of a run: all that the next step depends on, and how a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import nested
from ..derivatives.products import Spent
from ..errors import BadLog
from ..game.buffers import filled, primitives_of, tensors_of
from ..game.tree import Buffers, Params
from .solver import Memory


def tensors(x: Any) -> list[Tensor]:
    """All tensors of nested dictionaries, lists and tuples, in the order in which they stand."""
    return [leaf for leaf in nested.leaves(x) if isinstance(leaf, Tensor)]


@dataclass(frozen=True)
class State:
    """Before step ``step``: parameters, solver memory, buffers, the members' generators, and what has been spent."""

    step: int
    params: Params
    memory: Memory
    buffers: Buffers
    rngs: tuple[Tensor, ...]  # the generators' states, one for each member
    alive: Tensor  # (), or (M,): the members that have stayed finite
    bound: Tensor  # (), or (M,): the norm at which parameters count as blown up
    cost: Spent = (0.0, 0, 0)  # gradients, products, samples so far

    def generators(self) -> list[torch.Generator]:
        """The members' generators, in the state they had."""
        out = [torch.Generator() for _ in self.rngs]
        for rng, saved in zip(out, self.rngs, strict=True):
            rng.set_state(saved)
        return out

    def tensors(self) -> dict[str, Any]:
        """Everything but :meth:`numbers`, in nested dictionaries of tensors."""
        return {
            "params": self.params, "memory": self.memory,
            "buffers": tensors_of(self.buffers),
            "rngs": {str(m): rng for m, rng in enumerate(self.rngs)},
            "alive": self.alive, "bound": self.bound,
        }  # fmt: skip

    def numbers(self) -> dict[str, Any]:
        """The step, what was spent, and what is plain in the buffers."""
        return {"step": self.step, "cost": list(self.cost), "buffers": primitives_of(self.buffers)}

    def restored(self, tensors: Mapping[str, Any], numbers: Mapping[str, Any]) -> State:
        """The saved state, in the structure, on the devices and in the dtypes of this first one.

        Raises BadLog where the two do not fit: it belongs to another game or solver.
        """
        try:
            own = {**self.tensors(), "rngs": tensors["rngs"], "buffers": self.buffers}
            found = filled(own, tensors, {"buffers": numbers.get("buffers")}, "")
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
            )
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            raise BadLog(f"the checkpoint does not fit this game and solver: {error}.") from error
