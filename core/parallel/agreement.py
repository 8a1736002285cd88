"""What the processes of a run agree on: when to stop, what they measured, and that they hold the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ..collective import Ranks
from ..errors import PluginError
from ..loop.observers import Seen
from ..loop.stopping import Condition, Stopping

COMPARE_EVERY = 100  # steps
_BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}  # by the size of a number in bytes


def agreed_stop(ranks: Ranks, stop: Callable[[], bool] | None) -> Callable[[], bool]:
    """``stop`` for all processes at the same step: the wish of one is heard by all with the next sum."""

    def agreed() -> bool:
        ranks.wish = float(stop is not None and stop())
        return ranks.wishes is not None and bool(ranks.wishes.any())

    return agreed


@dataclass(frozen=True)
class CommonCondition(Condition):
    """A condition whose quantity is measured by the first process for all: metrics need not agree to the last bit."""

    ranks: Ranks = field(default_factory=lambda: Ranks(0, 1))

    def at(self, seen: Seen) -> float:
        own = super().at(seen) if self.ranks.first else 0.0
        return float(self.ranks.sum(torch.tensor([own], dtype=torch.float64, device=self.ranks.device)))


def agreed_stopping(ranks: Ranks | None, stopping: Stopping) -> Stopping:
    """``stopping`` for all processes at the same step."""
    if ranks is None or (condition := stopping.condition) is None:
        return stopping
    own = {f.name: getattr(condition, f.name) for f in fields(condition)}
    return replace(stopping, condition=CommonCondition(**own, ranks=ranks))


@dataclass(frozen=True)
class SameNumbers:
    """An observer that compares parameters and memory of all processes, bit for bit."""

    ranks: Ranks

    def __call__(self, seen: Seen) -> None:
        """Raise PluginError if they differ."""
        own = torch.stack([_sum_of_bits(x) for x in tree_leaves((seen.params, seen.memory)) if isinstance(x, Tensor)])
        first = self.ranks.sum(own if self.ranks.first else torch.zeros_like(own))
        if bool(self.ranks.sum((own != first).any().to(own.dtype))):
            raise PluginError(
                f"the processes of this run no longer hold the same parameters at step {seen.step}: the game or the "
                "solver draws other random numbers in each, or reads a clock, or an operation gives other bits each "
                "time (--deterministic). Play it in one process."
            )


def _sum_of_bits(x: Tensor) -> Tensor:
    x = torch.view_as_real(x) if x.is_complex() else x
    return x.contiguous().view(_BITS[x.element_size()]).sum(dtype=torch.int64)
