"""Observers: functions that see each step while a game is played. They must not change anything.

    >>> import counterplay as cp
    >>> game, solver = cp.make("game", "quadratic"), cp.make("solver", "simgd", lr={"x": 0.09, "y": 0.01})
    >>> def tell(seen: cp.Seen) -> None:
    ...     print(seen.step, f"{seen.params['x']['value'].item():+.4f}", seen.figures.gradient_norms.round(3))
    >>> result = cp.run(game, solver, steps=3, start={"x": {"value": [1.0]}, "y": {"value": [0.0]}},
    ...                 observers=[cp.Every(2, tell)])
    0 +1.0000 [ 2. 10.]
    2 +0.5824 [3.005 6.192]
    3 +0.3120 [3.083 3.612]

An observer is any function of a :class:`Seen`. It is called before each step is committed, with the point where the
step started, and once more at the end. If it raises, the run's state is saved and the run ends with that error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Memory, StepInfo
from .monitor import StepMetrics


class GameView(Protocol):
    """What a game shows at a point, and its metrics there, on the batch that is the same at every point of a run."""

    @property
    def shown(self) -> Tensor | None:
        """Images (B, C, H, W) or points (B, 2); None if the game has nothing to show."""

    @property
    def data(self) -> Tensor | None:
        """Data (B, 2) to show beside generated points; None where there are none."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics by name, as arrays: (...), or (M, ...) for an ensemble."""


@dataclass(frozen=True)
class Seen:
    """A step as an observer sees it: the point the step started from, and what the solver found there.

    step      the number of steps taken before this one: 0 at the start
    params    the point, {player: {name: tensor}}; in an ensemble every tensor has a leading axis of members
    memory    the solver's memory there, nested dictionaries of tensors
    batch     the first batch that the step drew
    info      ``losses`` {player: scalar, or (M,)}, ``gradient`` (v, like ``params``) and ``inner``, the report of an
              inner solve. They are what the solver evaluated first, at ``params`` (past-extragradient: one step ahead)
    figures   losses and norms as numpy arrays over the players, ([M,] P): ``losses``, ``gradient_norms``,
              ``parameter_norms``
    last      whether this is the run's final point, from which no step is taken
    buffers   the game's buffers, as the step uses them
    metrics   the game's metrics here by name, as numpy arrays ([M] ...). They are measured when they are first asked
              for, on the batch on which a run records them

    Do not modify anything here: an observer that writes to these tensors ends the run. To keep a tensor, clone it or
    take its value as a number.
    """

    step: int
    params: Params
    memory: Memory
    batch: Batch
    info: StepInfo
    figures: StepMetrics
    last: bool
    buffers: Buffers
    game_view: GameView = field(repr=False)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The game's metrics here by name, as numpy arrays ([M] ...)."""
        return self.game_view.metrics


Observer = Callable[[Seen], None]
"""A function of :class:`Seen`. If it also has a method ``rows(columns)``, it may be shown many steps at once, as the
columns of the log's group "step" by name. Without this method every step is taken by itself, which is slower for games
whose steps can be compiled."""


@dataclass(frozen=True)
class Every:
    """Calls ``observer`` at every n-th step and at the last one. n = 0: never."""

    n: int
    observer: Observer

    def __call__(self, seen: Seen) -> None:
        if self.n and (seen.step % self.n == 0 or seen.last):
            self.observer(seen)

    def rows(self, columns: dict[str, Any]) -> None:
        """Show every n-th of many steps at once. If there is one, ``observer`` must have a method ``rows`` itself."""
        if self.n == 0:
            return
        due = columns["step"] % self.n == 0
        if due.any():
            self.observer.rows({name: x if due.all() else x[due] for name, x in columns.items()})  # type: ignore[attr-defined]


def period(observer: Observer) -> int:
    """n if ``observer`` must be shown every n-th step by itself, as a :class:`Seen`; 0 if never."""
    if isinstance(observer, Every):
        return math.lcm(observer.n, period(observer.observer))
    return 0 if hasattr(observer, "rows") else 1
