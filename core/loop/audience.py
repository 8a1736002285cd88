"""Everyone who looks on: the run's own recorders, which call the game, and the caller's observers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..attribution import blamed, ours
from ..errors import PluginError, UsageError
from ..game.game import Game, innermost
from ..solver.solver import Solver
from .observers import Observer, Seen, period


class Audience:
    """Shows steps to ``observers``. What the run's own raise is the game's or the solver's fault, and told as such."""

    def __init__(self, observers: Sequence[Observer], solver: Solver, game: Game) -> None:
        self._everyone, self._solver, self._game = observers, solver, game
        own = [ours(getattr(o, "observer", o)) for o in observers]
        self._own = [o for o, is_own in zip(observers, own, strict=True) if is_own]
        self._callers = [o for o, is_own in zip(observers, own, strict=True) if not is_own]

    def __call__(self, seen: Seen) -> None:
        """Show one step."""
        self._record(seen)
        for observer in self._callers:
            observer(seen)

    def rows(self, columns: Mapping[str, Any]) -> None:
        """Show many steps at once: columns of the log's group "step", by name."""
        for observer in self._everyone:
            observer.rows(columns)  # type: ignore[attr-defined]  # those without it leave no room for many

    def room(self, step: int) -> int | None:
        """The steps from ``step`` on until one has to be shown by itself; None: no such step comes."""
        return min((-step % n for n in map(period, self._everyone) if n), default=None)

    def _record(self, seen: Seen) -> None:
        try:
            for observer in self._own:
                observer(seen)
        except UsageError as error:
            game = type(innermost(self._game))
            raise PluginError(f"the game {game.__name__} breaks its contract: {error}", game.__module__) from error
        except BaseException as error:
            told = blamed(error, "what a run records", self._solver, self._game)
            if told is error:
                raise
            raise told from error
