"""Which recorders a run has, and the layout of what they write: to a log, to a history in memory, or to both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..derivatives.evaluator import Evaluator
from ..derivatives.fixed_batch import probe_batch
from ..derivatives.products import Cost
from ..game.tree import Params
from ..log.history import appenders_to_all
from ..log.rows import LogRows
from ..log.schema import Layout, Variable
from ..loop.observers import Every, Observer
from ..solver.solver import Solver
from .plane_recorder import PlaneRecorder, is_planar
from .recorders import ParameterSummary, SampleRecorder, SpectrumRecorder, StepRecorder
from .settings import Settings


def layout_of(game: Evaluator, parameter_summary: ParameterSummary, attrs: Mapping[str, Any] | None = None) -> Layout:
    """The layout of the log of a run of ``game``."""
    return Layout(
        players=tuple(game.players),
        parameters=tuple(parameter_summary.names) if parameter_summary.whole else None,
        directions=None if parameter_summary.whole else ("1", "2"),
        members=game.members,
        metrics=_metrics(game),
        attrs=attrs or {},
    )


def recorders(
    game: Evaluator, solver: Solver, settings: Settings, params: Params, parameter_summary: ParameterSummary,
    records: Sequence[LogRows], path: Callable[[], Any], spent: float = 0.0,
) -> list[Observer]:  # fmt: skip
    """The recorders that append to ``records``.

    ``path()`` gives the parameters recorded so far in a game of two parameters, (steps, 2). ``spent`` are the seconds
    that the run has taken before.
    """
    append, extend = appenders_to_all(*records)
    uncounted = replace(game, cost=Cost(), trace=False)  # what recorders evaluate is not part of the solver's cost
    observers: list[Observer] = [
        Every(settings.every, StepRecorder(append, game, parameter_summary, time.monotonic() - spent, extend)),
        Every(settings.spectrum_every, SpectrumRecorder(append, uncounted, solver)),
        Every(settings.sampling, SampleRecorder(append)),
    ]
    if is_planar(game, params):
        observers.append(PlaneRecorder(append, uncounted, partial(probe_batch, uncounted), path))
    return observers


def _metrics(game: Evaluator) -> tuple[Variable, ...]:
    """The variables of the log for the game's metrics."""
    member = () if game.members is None else ("member",)
    provenance, axes = game.game.metric_provenance(), game.game.metric_axes
    return tuple(
        Variable(name, ("metrics", *member, *axes.get(name, ())), "<f8", name.replace("_", " "),
                 attrs=provenance.get(name, {}))
        for name in {**axes, **provenance}
    )  # fmt: skip
