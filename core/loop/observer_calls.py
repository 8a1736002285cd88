"""All observers of a run: its own recorders, and the observers given by the caller of ``run``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..attribution import attributed, ours
from ..errors import PluginError, UsageError
from ..game.game import Game, innermost
from ..solver.solver import Solver
from .contract import given_tensors, version_counters
from .observers import Observer, Seen, period


class Audience:
    """Shows steps to ``observers``.

    A recorder evaluates the game, so an error in a recorder is blamed on the game or the solver. An error in one of
    the caller's observers is raised as it is.
    """

    def __init__(self, observers: Sequence[Observer], solver: Solver, game: Game) -> None:
        self._observers, self._solver, self._game = observers, solver, game
        is_recorder = [ours(getattr(o, "observer", o)) for o in observers]
        self._recorders: list[Any] = [o for o, is_ours in zip(observers, is_recorder, strict=True) if is_ours]
        self._callers: list[Any] = [o for o, is_ours in zip(observers, is_recorder, strict=True) if not is_ours]

    def __call__(self, seen: Seen) -> None:
        """Show one step."""
        with self._recording():
            for recorder in self._recorders:
                recorder(seen)
        if not self._callers:
            return
        shown = given_tensors(seen)
        before = version_counters(shown)
        for observer in self._callers:
            observer(seen)
        if version_counters(shown) != before:
            raise UsageError(
                "an observer changed the parameters, memory or buffers that it was shown, where it should clone them. "
                "What they were is lost: the newest checkpoint is an earlier one."
            )

    def measure(self, seen: Seen) -> None:
        """Measure the game's metrics now, so that an error in them is blamed on the game."""
        with self._recording():
            seen.metrics  # noqa: B018

    def rows(self, columns: Mapping[str, Any]) -> None:
        """Show many steps at once: columns of the log's group "step", by name."""
        with self._recording():
            for recorder in self._recorders:
                recorder.rows(columns)  # without ``rows``, ``steps_until_due`` is 0
        for observer in self._callers:
            observer.rows(columns)

    def steps_until_due(self, step: int, most: int) -> int:
        """How many steps from ``step`` on can be shown at once, at most ``most``: the next one is to be shown alone."""
        return min([most, *(-step % n for n in map(period, self._observers) if n)])

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """Blame the game or the solver for what is raised inside."""
        try:
            yield
        except UsageError as error:
            game = type(innermost(self._game))
            raise PluginError(f"the game {game.__name__} breaks its contract: {error}", game.__module__) from error
        except BaseException as error:
            reported = attributed(error, "what a run records", self._solver, self._game)
            if reported is error:
                raise
            raise reported from error
