"""Experiments that ask of methods on small games whether they converge, which the radius of F' at 0 decides.

They are tables: each claim is a list of cases, and each case has a game, a solver, and the range of the radius per step
in which the paper is right. The figure shows the distance from 0 by powers of F', which is the path itself where the
game is linear and nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core.experiments.claim import Claim, Expected, Measured, exactly
from ...core.experiments.experiment import Computed, Experiment, Logs, Scale
from ...core.experiments.panel import Panel, curve
from ...core.registry.registry import make
from .at_point import Matrix, radius, update_map

STEPS = 60
EDGE = 1e-9  # from 1: whether it converges is decided by more than rounding
CONVERGES, DIVERGES, NEITHER = (0.0, 1 - EDGE), (1 + EDGE, np.inf), (1 - EDGE, 1 + EDGE)


@dataclass(frozen=True)
class Case:
    """A method on a game. ``range`` is where the radius of F' per step is if the paper is right; ``why`` derives it."""

    label: str
    game: Any
    solver: Any
    range: tuple[float, float]
    paper: str
    why: str = ""
    regularizers: tuple[Any, ...] = ()


def exact(label: str, game: Any, solver: Any, value: float, why: str, **options: Any) -> Case:
    """A case whose radius is known in closed form."""
    return Case(label, game, solver, (value - EDGE, value + EDGE), f"{label} {value:.4f}", why, **options)


@dataclass(frozen=True)
class CaseClaim:
    """A claim as a table of cases."""

    name: str
    words: str
    source: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class UpdateRadii(Experiment):
    """What all of these experiments share; ``said`` is the table."""

    said: ClassVar[tuple[CaseClaim, ...]] = ()

    def claims(self) -> Sequence[Claim]:
        """One claim for each row of the table."""
        return [
            Claim(row.name, row.words, row.source,
                  tuple(Expected(f"{row.name}: {c.label}", *c.range, c.paper, c.why) for c in row.cases))
            for row in self.said
        ]  # fmt: skip

    def compute(self, scale: Scale) -> Computed:
        found: dict[str, Any] = {}
        for row in self.said:
            for c in row.cases:
                F, period = update_map(c.game, c.solver, regularizers=c.regularizers), make("solver", c.solver).period
                players = len(make("game", c.game).players)
                found[f"{row.name}: {c.label}"] = {
                    "radius": radius(F) ** (1 / period), "period": period, "path": _distances(F, players)
                }  # fmt: skip
        return found

    def measure(self, logs: Logs, computed: Computed) -> Mapping[str, Measured]:
        return {name: exactly(found["radius"]) for name, found in computed.items()}

    def panels(self, logs: Logs, computed: Computed) -> Sequence[Panel]:
        panels = []
        for row in self.said:
            series = []
            for c in row.cases:
                found = computed[f"{row.name}: {c.label}"]
                series.append(curve(c.label, found["period"] * np.arange(len(found["path"])), found["path"]))
            panels.append(Panel(row.name, "step", "distance from 0", tuple(series), "y"))
        return panels


def _distances(F: Matrix, parameters: int) -> list[float]:
    """The distance from 0 at each step from (1, 1, …), the memory being 0 at first; games have a number a player."""
    state, found = np.zeros(len(F)), []
    state[:parameters] = 1.0
    for _ in range(STEPS + 1):
        found.append(float(np.linalg.norm(state[:parameters])))
        state = F @ state
    return found
