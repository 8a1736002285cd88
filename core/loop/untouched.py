"""What a step promises to leave as it is: the parameters, memory and buffers that it is given."""

from __future__ import annotations

from operator import attrgetter, is_
from typing import Any

from torch import Tensor

from ..attribution import foreign
from ..errors import PluginError
from ..game.game import Game, innermost
from ..solver.solver import Solver
from ..solver.state import State

FEW = 24  # tensors of which all is asked at every step
_version = attrgetter("_version")


class Intact:
    """Whether the state before a step is still what it was; looked at around every step, and so in few operations."""

    def __init__(self, solver: Solver, game: Game) -> None:
        self.solver, self.game = solver, game

    def hold(self, state: State) -> None:
        """Remember how the state is that a step is given."""
        self.held = _held(state)
        self.versions = _versions(self.held)

    def untouched(self, state: State) -> bool:
        """Whether none of these tensors has been written to; of few, whether they all are there, too."""
        return self.whole(state) if len(self.held) <= FEW else _versions(self.held) == self.versions

    def whole(self, state: State) -> bool:
        """Whether it still is all that: the same tensors in the same places."""
        now = _held(state)
        same = len(now) == len(self.held) and all(map(is_, now, self.held))
        return same and _versions(self.held) == self.versions

    def spoilt(self) -> PluginError:
        """What to say where it is not."""
        solver, game = type(self.solver), type(innermost(self.game))
        module = foreign(self.solver) or foreign(self.game) or solver.__module__
        who = f"the solver {solver.__name__} or the game {game.__name__}"
        if not (foreign(self.solver) and foreign(self.game)) and foreign(self.solver, self.game):
            who = f"the solver {solver.__name__}" if foreign(self.solver) else f"the game {game.__name__}"
        return PluginError(
            f"{who} breaks its contract: a step changed the parameters, memory or buffers that it was given, where it "
            "should return new ones. What they were is lost: the newest checkpoint is an earlier one.",
            module,
        )


def _held(state: State) -> list[Tensor]:
    """The tensors that a step is given."""
    found: list[Tensor] = []
    for tree in (state.params, state.memory, state.buffers):
        _collect(tree, found)
    return found


def _collect(x: Any, found: list[Tensor]) -> None:
    for v in x.values():
        if isinstance(v, dict):
            _collect(v, found)
        elif isinstance(v, Tensor):
            found.append(v)
        elif isinstance(v, list | tuple):
            _collect(dict(enumerate(v)), found)


def _versions(tensors: list[Tensor]) -> list[int]:
    """How often each was written to; in inference mode nobody counts."""
    try:
        return list(map(_version, tensors))
    except RuntimeError:
        return []
