"""Many steps of a compiled solver at once.

A chunk ends before a step that ends the run, loses a member, or has an observer that needs the step itself. The loop
takes such a step by the same compiled function. So what a run records does not depend on where chunks begin and end.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..game.tree import leaves, ravel
from ..loop.chunk_runner import ChunkResult
from ..loop.monitor import Monitor, StepMetrics, joint_norm
from ..loop.stopping import Condition
from ..solver.solver import Solver
from ..solver.state import State
from ..tracing.traced import RETRACES
from .compiled_step import Array, Compiled, CProgram, Played, compiled_solver

LONGEST = 4096  # steps
SELDOM = 1 << 16  # largest number of steps between two comparisons with the solver itself
NUMBERS = 1 << 18  # largest number of values in a chunk: a few milliseconds, so that signals are handled in time


class RowwiseMonitor(Monitor):
    """A monitor that computes norms row by row, as chunks do: both must give the same bits."""

    def _norms(self, x: list[Tensor]) -> list[Tensor]:
        norms = [torch.from_numpy(_norm(self._rows(t).detach().resolve_neg().double().numpy())) for t in x]
        return norms if self.members is not None else [n[0] for n in norms]

    def _host(self, tensors: list[Tensor]) -> Array:
        return super()._host([t.double() for t in tensors])


def _norm(x: Array) -> Array:
    """The norms of the rows of (..., n). Contiguous rows make numpy add each row in the same order."""
    x = np.ascontiguousarray(x)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.sqrt((x * x).sum(axis=-1))


@dataclass
class CompiledChunkRunner:
    """Takes chunks of steps for a loop with the compiled ``solver``. A chunk ends where a checkpoint is due."""

    solver: Compiled | None
    start: int = 0  # the first step that the compiled solver takes
    checkpoint_every: int = 0
    since: int = 0  # the step at which it was compiled, or last compared with its solver
    gap: int = 16  # steps until the next comparison
    changes: int = 0  # how often it was compiled again
    length: int = 64  # steps of the next chunk: twice the last complete one, so that few steps are taken in vain

    def monitor(self, monitor: Monitor, state: State) -> Monitor:
        """A monitor that computes norms as chunks do, to be used in the place of ``monitor``."""
        if isinstance(monitor, RowwiseMonitor):
            return monitor
        return RowwiseMonitor(state.params, monitor.members, state.bound.numpy(), state.alive.numpy())

    def solver_at(self, game: Evaluator, solver: Solver, state: State) -> Solver:
        """The compiled solver for the coming steps, compiled again if something that it was made from has changed.

        ``solver`` itself if that happened too often, or if it cannot be compiled any more. Raises PluginError where a
        comparison finds a change that was not noticed.
        """
        if self.solver is None:
            return solver
        if not self.solver.guard.same():
            self.changes, self.solver = self.changes + 1, None
            if self.changes <= RETRACES:
                with contextlib.suppress(Exception):  # from a plugin's code, or from the machine's compiler
                    self.solver = compiled_solver(game, solver, state)
            self.since, self.gap = state.step, 16
        elif state.step >= self.since + self.gap:
            self.compare(game, solver, state)
            self.gap = min(4 * self.gap, SELDOM)
        return self.solver or solver

    def compare(self, game: Evaluator, solver: Solver, state: State) -> None:
        """Compare a compiled step with the solver's own. Raises Stale where a change was not noticed."""
        if self.solver is not None and state.step > self.since and self.solver.guard.same():
            if not self.solver.agrees(game, state):
                raise game.trace_context.stale(self.since)
            self.since = state.step

    def take_chunk(self, state: State, most: int, monitor: Monitor, until: Condition | None) -> ChunkResult | None:
        """Take a chunk of at most ``most`` steps in which nothing happens; None if there is no such step."""
        if self.solver is None or (steps := self._next_length(self.solver.program, state, most)) == 0:
            return None
        program, alive = self.solver.program, state.alive.numpy()
        played = program(state.params, state.memory, steps, alive)
        norms, metrics = _metrics(monitor, played)
        uneventful = _uneventful(state, monitor, until, played, norms, metrics)
        if not uneventful.all():
            steps = self.length = int(np.argmin(uneventful))
            if steps == 0:
                self.length = 1
                return None
            played = program(state.params, state.memory, steps, alive)
        else:
            self.length = min(2 * self.length, LONGEST)
        monitor.norms = norms[:, steps]
        columns = {
            "step": np.arange(state.step, state.step + steps),
            **{f.name: getattr(metrics, f.name)[:steps] for f in fields(metrics)},
            "parameters": _members(monitor, played.points[:steps]),
            **{f"inner_{name}": _members(monitor, x[:steps]) for name, x in played.inner.items()},
        }
        spent = self.solver.spent(played)[:steps].cumsum(0).T
        gradients, products, samples = (before + n for before, n in zip(state.cost, spent, strict=True))
        players = len(monitor.players)
        columns["gradients"] = np.round(gradients * players) / players  # as Cost.spend rounds them
        columns |= {"products": products.astype(np.int64), "samples": samples.astype(np.int64)}
        cost = tuple(columns[name][-1].item() for name in ("gradients", "products", "samples"))
        step = state.step + steps
        return ChunkResult(replace(state, step=step, params=played.params, memory=played.memory, cost=cost), columns)

    def _next_length(self, program: CProgram, state: State, most: int) -> int:
        """The length of the next chunk: up to the next checkpoint, and short enough to be done soon."""
        wide = program.numbers * (program.members or 1)
        ends = [most, self.length, max(1, NUMBERS // (2 * wide))]
        if self.checkpoint_every:
            ends.append(self.checkpoint_every - state.step % self.checkpoint_every)
        return min(ends)


def _metrics(monitor: Monitor, played: Played) -> tuple[Array, StepMetrics]:
    """Norms of each parameter tensor before each step and after the last (T, K + 1, [M]), and the steps' metrics."""
    sizes = np.cumsum([x[0].numel() if monitor.members else x.numel() for x in leaves(played.params)])[:-1]
    last = ravel(played.params, monitor.members is not None).double().numpy()
    points = np.concatenate([played.points, last.reshape(1, *played.points.shape[1:])])
    norms, gradients = (
        np.stack([_norm(part) for part in np.split(_members(monitor, x), sizes, axis=-1)])
        for x in (points, played.gradients)
    )
    with np.errstate(invalid="ignore"):
        by_player = [np.stack([joint_norm(n[one]) for one in monitor.slices], -1) for n in (gradients, norms[:, :-1])]
    return norms, StepMetrics(_members(monitor, played.losses), *by_player)


def _uneventful(
    state: State, monitor: Monitor, until: Condition | None, played: Played, norms: Array, metrics: StepMetrics
) -> Any:
    """Which steps (K,) neither end the run nor lose a member."""
    alive = state.alive.numpy()
    after = norms[:, 1:]
    # A norm may overflow although every number is finite. The monitor then decides: leave such a step to the loop.
    finite = np.isfinite(after).all(0) & np.isfinite(metrics.gradient_norms).all(-1)
    sound = _members(monitor, played.sound) & finite & (joint_norm(after) <= monitor.bound)
    uneventful = (sound | ~alive).reshape(len(sound), -1).all(-1)
    if until is not None and alive.all():  # an ensemble that lost a member cannot meet the condition any more
        uneventful &= ~until.holds(metrics).reshape(len(sound), -1).all(-1)
    return uneventful


def _members(monitor: Monitor, x: Any) -> Any:
    """``x`` (K, M, ...), without the axis M where there is no ensemble."""
    return x[:, 0] if monitor.members is None else x
