"""Many steps of a compiled solver at once, as far as nothing happens that has to be looked at one step at a time.

What a run shows and keeps does not depend on where chunks begin and end: a step that ends something, or that someone
looks at closely, is left to the loop, which takes it by the same compiled function.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..game.tree import leaves, ravel
from ..loop.monitor import Monitor, StepMetrics, joint
from ..loop.observers import period
from ..solver.solver import Solver
from ..solver.state import State
from ..tracing.traced import RETRACES
from .compiled_step import Array, Compiled, Played, compiled_solver

if TYPE_CHECKING:
    from ..loop.loop import Loop

LONGEST = 4096  # steps
SELDOM = 1 << 16  # steps after which the solver itself takes one, to be compared with
NUMBERS = 1 << 18  # that a chunk writes down: a few milliseconds, so that signals are heard


class RowMonitor(Monitor):
    """A watch that takes norms as a chunk does, row by row: which of the two took them must not be seen."""

    def _norms(self, x: list[Tensor]) -> list[Tensor]:
        norms = [torch.from_numpy(_norm(self._rows(t).detach().resolve_neg().double().numpy())) for t in x]
        return norms if self.members is not None else [n[0] for n in norms]

    def _host(self, tensors: list[Tensor]) -> Array:
        return super()._host([t.double() for t in tensors])


def _norm(x: Array) -> Array:
    """Of the rows of (..., n), n last and contiguous: each sum is taken by itself, in one order."""
    x = np.ascontiguousarray(x)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.sqrt((x * x).sum(axis=-1))


@dataclass
class Chunks:
    """Takes the steps ahead of a loop by the compiled ``solver``; ends at each checkpoint that is due."""

    solver: Compiled | None
    start: int = 0  # the first step that is taken so
    checkpoint_every: int = 0
    since: int = 0  # the step at which it was made, or compared with its solver last
    gap: int = 16  # steps from there to the next time
    changes: int = 0
    length: int = 64  # of the next one: twice the last that came through, so that little is taken in vain

    def watching(self, watch: Monitor, state: State) -> Monitor:
        """One that takes norms as chunks do, in the place of ``watch``."""
        if isinstance(watch, RowMonitor):
            return watch
        return RowMonitor(state.params, watch.members, state.bound.numpy(), state.alive.numpy())

    def taking(self, game: Evaluator, solver: Solver, state: State) -> Compiled | None:
        """What takes this step and those ahead: made again where something that it was made from has changed.

        None where that happens again and again, or it cannot be made any more: then ``solver`` does. Raises PluginError
        where something has changed that nobody saw.
        """
        if self.solver is None or state.step < self.start:
            return None
        if not self.solver.guard.same():
            self.changes, self.solver = self.changes + 1, None
            if self.changes <= RETRACES:
                with contextlib.suppress(Exception):  # anyone's code is traced, and anyone's compiler asked
                    self.solver = compiled_solver(game, solver, state)
            self.since, self.gap = state.step, 16
        elif state.step >= self.since + self.gap:
            self.compared(game, solver, state)
            self.gap = min(4 * self.gap, SELDOM)
        return self.solver

    def compared(self, game: Evaluator, solver: Solver, state: State) -> None:
        """Hold a step against the solver's own. Raises Stale where something has changed that nobody saw."""
        if self.solver is not None and state.step > self.since and self.solver.guard.same():
            if not self.solver.agrees(game, solver, state):
                raise game.origin.stale(self.since)
            self.since = state.step

    def ahead(self, loop: Loop, solver: Compiled, state: State, watch: Monitor) -> State:
        """The state after as many steps as nothing happens in, all shown; ``state`` itself if that is none."""
        steps = self._room(loop, solver, state)
        if steps == 0:
            return state
        program, alive, cost = solver.program, state.alive.numpy(), loop.game.cost
        began = time.monotonic()
        played = program(state.params, state.memory, steps, alive)
        norms, figures = _figures(watch, played)
        quiet = _quiet(loop, state, watch, played, norms, figures)
        if not quiet.all():
            steps = int(np.argmin(quiet))
            self.length = max(1, steps)
            if steps == 0:
                cost.solving += time.monotonic() - began
                return state
            played = program(state.params, state.memory, steps, alive)
        else:
            self.length = min(2 * self.length, LONGEST)
        watch.norms = norms[:, steps]
        columns = {
            "step": np.arange(state.step, state.step + steps),
            **{f.name: getattr(figures, f.name)[:steps] for f in fields(figures)},
            "parameters": _members(watch, played.points[:steps]),
        }
        for name, before, each in zip(("gradients", "products", "samples"), state.cost, solver.spent, strict=True):
            columns[name] = before + each * np.arange(1, steps + 1)
        players = len(watch.players)
        columns["gradients"] = np.round(columns["gradients"] * players) / players  # as Cost.spend has it
        shown = time.monotonic()
        cost.solving += shown - began
        for observer in loop.observers:
            observer.rows(columns)  # type: ignore[attr-defined]  # the others left no room
        cost.measuring += time.monotonic() - shown
        state = replace(
            state, step=state.step + steps, params=played.params, memory=played.memory,
            cost=tuple(columns[name][-1].item() for name in ("gradients", "products", "samples")),
        )  # fmt: skip
        if loop.progress is not None and state.step < loop.steps:
            losses = torch.from_numpy(columns["losses"][-1])  # ([M,] P)
            loop.progress(state.step, loop.steps, dict(zip(watch.players, losses.unbind(-1), strict=True)))
        return state

    def _room(self, loop: Loop, solver: Compiled, state: State) -> int:
        """Steps until one has to be seen by itself."""
        wide = solver.program.numbers * (solver.program.members or 1)
        ends = [loop.steps - state.step, self.length, max(1, NUMBERS // (2 * wide))]
        if self.checkpoint_every:
            ends.append(self.checkpoint_every - state.step % self.checkpoint_every)
        ends += [-state.step % n for n in map(period, loop.observers) if n]
        return min(ends)


def _figures(watch: Monitor, played: Played) -> tuple[Array, StepMetrics]:
    """Norms of each parameter tensor before each step and after the last (T, K + 1, [M]), and the steps' figures."""
    sizes = np.cumsum([x[0].numel() if watch.members else x.numel() for x in leaves(played.params)])[:-1]
    last = ravel(played.params, watch.members is not None).double().numpy()
    points = np.concatenate([played.points, last.reshape(1, *played.points.shape[1:])])
    norms, gradients = (
        np.stack([_norm(part) for part in np.split(_members(watch, x), sizes, axis=-1)])
        for x in (points, played.gradients)
    )
    with np.errstate(invalid="ignore"):
        by_player = [np.stack([joint(n[own]) for own in watch.owned], -1) for n in (gradients, norms[:, :-1])]
    return norms, StepMetrics(_members(watch, played.losses), *by_player)


def _quiet(loop: Loop, state: State, watch: Monitor, played: Played, norms: Array, figures: StepMetrics) -> Any:
    """(K,): whether a step neither ends the run nor loses a member."""
    alive = state.alive.numpy()
    after = norms[:, 1:]
    # A norm may overflow where every number is finite: whether that matters is for the watch to say.
    sound = _members(watch, played.sound) & np.isfinite(after).all(0) & np.isfinite(figures.gradient_norms).all(-1)
    sound = sound & (joint(after) <= watch.bound)
    quiet = (sound | ~alive).reshape(len(sound), -1).all(-1)
    if loop.met is not None and alive.all():  # a member that left meets nothing any more
        quiet &= ~loop.met.holds(figures).reshape(len(sound), -1).all(-1)
    return quiet


def _members(watch: Monitor, x: Any) -> Any:
    """(K, M, ...), without the axis M where there is no ensemble."""
    return x[:, 0] if watch.members is None else x
