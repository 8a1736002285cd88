"""What a loop asks of something that takes many steps at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..derivatives.evaluator import Evaluator
from ..solver.solver import Solver
from ..solver.state import State
from .monitor import Monitor
from .stopping import Condition


@dataclass(frozen=True)
class Leap:
    """Many steps at once: the state after them, and columns of the log's group "step" by name, a row for each step."""

    state: State
    columns: Mapping[str, Any]


class Leaper(Protocol):
    """What takes many steps at once, as far as nothing happens in them: see ``core.compiled``."""

    @property
    def start(self) -> int:
        """The first step that may be taken so."""

    def monitor(self, monitor: Monitor, state: State) -> Monitor:
        """The monitor of a run from its step ``start`` on."""

    def solver_at(self, game: Evaluator, solver: Solver, state: State) -> Solver:
        """The solver that takes this step and those ahead: ``solver`` itself where there is nothing better."""

    def leap(self, state: State, room: int, monitor: Monitor, until: Condition | None) -> Leap | None:
        """As many steps as nothing happens in, at most ``room``; None if that is none."""

    def compare(self, game: Evaluator, solver: Solver, state: State) -> None:
        """Compare what was taken with ``solver`` once more. Raises Stale."""
