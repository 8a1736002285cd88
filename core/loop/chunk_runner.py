"""A chunk is many steps taken at once; a chunk runner, as the loop expects it, takes them (``core.compiled``)."""

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
class ChunkResult:
    """Many steps taken at once: the state after them, and columns of the log's group "step", a row for each step."""

    state: State
    columns: Mapping[str, Any]


class ChunkRunner(Protocol):
    """Takes many steps at once.

    A chunk ends before a step that diverges, that meets the stopping condition, or that must be shown by itself.
    """

    @property
    def start(self) -> int:
        """The first step at which a chunk may begin."""

    def monitor(self, monitor: Monitor, state: State) -> Monitor:
        """The monitor to use from step ``start`` on, made from the run's ``monitor`` at ``state``."""

    def solver_at(self, game: Evaluator, solver: Solver, state: State) -> Solver:
        """The solver for single steps from here on: a compiled form of ``solver``, or ``solver`` itself."""

    def take_chunk(self, state: State, most: int, monitor: Monitor, until: Condition | None) -> ChunkResult | None:
        """At most ``most`` steps from ``state``; None if not even the first one can be taken in a chunk."""

    def compare(self, game: Evaluator, solver: Solver, state: State) -> None:
        """Compare a compiled step from ``state`` with one of ``solver``. Raises Stale if they differ."""
