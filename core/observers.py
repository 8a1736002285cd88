"""Observers: what looks on while a game is played. They see each step and can change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .solver import Memory, StepInfo
from .tree import Batch, Buffers, Params
from .watch import Figures


@dataclass(frozen=True)
class Seen:
    """A step as an observer sees it: the point the step started from, and what the solver found there.

    ``last`` marks the run's final point. ``buffers`` are those that the step sees. Nothing here may be modified.
    """

    step: int
    params: Params
    memory: Memory
    batch: Batch
    info: StepInfo
    figures: Figures
    last: bool
    buffers: Buffers = field(default_factory=dict)


Observer = Callable[[Seen], None]
"""One that also has ``rows(columns)`` may be shown many steps at once: columns of the log's group "step", by name."""


@dataclass(frozen=True)
class Every:
    """``observer`` at every n-th step, and at the last one. n = 0: never."""

    n: int
    observer: Observer

    def __call__(self, seen: Seen) -> None:
        if self.n and (seen.step % self.n == 0 or seen.last):
            self.observer(seen)

    def rows(self, columns: dict[str, Any]) -> None:
        """The same of many steps at once; ``observer`` takes them so."""
        if self.n == 0:
            return
        due = columns["step"] % self.n == 0
        if due.any():
            self.observer.rows({name: x if due.all() else x[due] for name, x in columns.items()})  # type: ignore[attr-defined]


def period(observer: Observer) -> int:
    """Every how many steps ``observer`` has to be shown one step by itself; 0: never."""
    n, inner = (observer.n, observer.observer) if isinstance(observer, Every) else (1, observer)
    return 0 if n == 0 or hasattr(inner, "rows") else n
