"""Observers: what looks on while a game is played. They see each step and can change nothing.

    >>> import counterplay as cp
    >>> game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    >>> def tell(seen: cp.Seen) -> None:
    ...     print(seen.step, f"{seen.params['x']['value'].item():+.4f}", seen.figures.gradient_norms.round(3))
    >>> result = cp.run(game, solver, steps=3, start={"x": {"value": [1.0]}, "y": {"value": [0.0]}},
    ...                 observers=[cp.Every(2, tell)])
    0 +1.0000 [ 2. 10.]
    2 +0.5824 [3.005 6.192]
    3 +0.3120 [3.083 3.612]

An observer is any function of a :class:`Seen`; it is called before each step is committed, with where the step started,
and once more at the end. What it raises ends the run, whose state is saved first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Memory, StepInfo
from .monitor import StepMetrics


@dataclass(frozen=True)
class Seen:
    """A step as an observer sees it: the point the step started from, and what the solver found there.

    step      the number of steps taken before this one: 0 at the start
    params    where the step starts, {player: {name: tensor}}; of an ensemble every tensor has a leading axis of members
    memory    the solver's memory there, nested dictionaries of tensors
    batch     the first batch that the step drew
    info      ``losses`` {player: scalar, or (M,)}, ``gradient`` (v, like ``params``) and ``inner``, what an inner solve
              reported, all as the solver first evaluated them; past-extragradient does so one step ahead
    figures   the same as numbers, numpy arrays over the players, ([M,] P): ``losses``, ``gradient_norms``,
              ``parameter_norms``
    last      whether this is the run's final point, from which no step is taken
    buffers   the game's, as the step sees them

    Nothing here may be modified; what is to be kept of a tensor is cloned, or taken out as a number.
    """

    step: int
    params: Params
    memory: Memory
    batch: Batch
    info: StepInfo
    figures: StepMetrics
    last: bool
    buffers: Buffers = field(default_factory=dict)


Observer = Callable[[Seen], None]
"""One that also has ``rows(columns)`` may be shown many steps at once: columns of the log's group "step", by name.
Without it every step is taken by itself, also those of a compiled solver."""


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
