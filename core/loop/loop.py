"""The loop takes steps, checks and shows each one, and commits those that are finite. Read :meth:`Loop.play` first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..attribution import attributed, guarded
from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..errors import Stale, StorageError
from ..game.tree import Batch
from ..solver.solver import Solver, StepInfo
from ..solver.state import State, tensors
from .audience import Audience
from .chunk import ChunkRunner
from .contract import StepContract
from .ending import Ending, alive_after, diverged_ending, select
from .monitor import Divergence, Monitor, StepMetrics
from .observers import Observer, Seen
from .step import Step
from .stopping import Condition

Progress = Callable[[int, int, Mapping[str, Tensor]], None]


@dataclass
class Loop:
    """One run: ``play`` takes it from a state to its end."""

    game: Evaluator
    solver: Solver
    steps: int  # the run ends at this step, counted from its start
    until: Condition | None  # the run ends earlier, as converged, when this holds
    observers: Sequence[Observer]
    save: Callable[[State, bool], None]  # save(state, last) writes a checkpoint if one is due, or if it is the last
    progress: Progress | None = None  # progress(step, steps, losses) is called after every step
    stop: Callable[[], bool] = lambda: False  # asked before every step; True ends the run as interrupted
    chunk_runner: ChunkRunner | None = None  # takes many steps at once where it can (core.compiled)

    def play(self, state: State) -> Ending:
        """Play from ``state`` until all steps are taken, ``until`` holds, or no member is finite any more.

        Raises PluginError if a plugin fails, UsageError if the solver refuses the game; saves the last state first.
        """
        self._begin(state)
        while state.step < self.steps:
            if self.stop():
                return self._interrupted(state)
            self._save(state, False)
            if (later := self._take_chunk(state)) is not None:
                state = later
                continue
            step, metrics, divergence = self._take(state)
            alive = alive_after(state, divergence)
            if divergence is not None and not alive.any():
                return self._diverged(state, step, metrics, divergence)
            if self._condition_met(metrics, alive):
                return self._converged(state, step, metrics)
            self._show(state, step, metrics)
            state = self._commit(state, step, alive)
        return self._finish(state)

    # ------------------------------------------------------------------ one step

    def _begin(self, state: State) -> None:
        self._rngs = state.generators()
        self._contract = StepContract(self.solver, self.game, state, self.game.members)
        self._monitor = Monitor(state.params, self.game.members, state.bound.numpy(), state.alive.numpy())
        self._audience = Audience(self.observers, self.solver, self.game)
        self._next_solver = self.solver  # takes the next step; a chunk runner may put a compiled solver here
        self._last_batches: list[Batch] = []  # the batches that the last step drew
        self._restore_cost(state)
        self._time = time.monotonic()

    def _take_chunk(self, state: State) -> State | None:
        """The state after many steps at once, up to one that needs attention. None: the next step does already."""
        self.game.replay.step = state.step  # the evaluator replays traced programs from a certain step on
        if self.chunk_runner is None or state.step < self.chunk_runner.start:
            return None
        self._monitor = self.chunk_runner.monitor(self._monitor, state)
        self._next_solver = self.chunk_runner.solver_at(self.game, self.solver, state)
        self._contract.remember(state)
        most = self._audience.steps_at_once(state.step, self.steps - state.step)
        self.game.cost.measuring += self._lap_seconds()
        chunk = self.chunk_runner.take_chunk(state, most, self._monitor, self.until)
        self.game.cost.solving += self._lap_seconds()
        if chunk is None:
            return None
        with self._saving_if_raised(state):
            self._audience.rows(chunk.columns)
        self._restore_cost(chunk.state)
        losses = torch.from_numpy(chunk.columns["losses"][-1])  # ([M,] P)
        if chunk.state.step < self.steps:
            self._report_progress(chunk.state, dict(zip(self.game.players, losses.unbind(-1), strict=True)))
        return chunk.state

    def _take(self, state: State) -> tuple[Step, StepMetrics, Divergence | None]:
        """The next step, its metrics, and what is wrong with it. The time spent here counts as solving."""
        self.game.cost.measuring += self._lap_seconds()
        with self._saving_on_failure(state):
            step = self._step(state)
            metrics, divergence = self._monitor(step)  # waits for the device: the time includes all that it computes
        self.game.cost.solving += self._lap_seconds()
        return step, metrics, divergence

    def _step(self, state: State) -> Step:
        """Call the solver: a step from ``state``, checked against the contract, projected, not yet committed."""
        game, rngs, batches = self.game, self._rngs, list[Batch]()
        self._last_batches = batches
        buffers = self._contract.checked_buffers(state.buffers, game.refresh(state.params, state.buffers))

        def draw() -> Batch:
            nonlocal buffers
            batches.append(game.draw(rngs, buffers))
            buffers = game.advance(buffers)
            return batches[-1]

        answer = self._next_solver.step(game, state.params, state.memory, draw)
        params, memory, info, memory_tensors = self._contract.checked_answer(answer)
        return Step(
            game.project(params), memory, buffers, info, batches, memory_tensors + (tensors(buffers) if buffers else [])
        )

    def _commit(self, state: State, step: Step, alive: Tensor) -> State:
        """The state after ``step``. A member that is not finite any more keeps its last finite state until the end."""
        game, params, memory, buffers = self.game, step.params, step.memory, step.buffers
        if alive.dim() and not alive.all():  # an ensemble that has lost a member
            new, old = (params, memory, buffers), (state.params, state.memory, state.buffers)
            params, memory, buffers = tree_map(lambda a, b: select(alive, a, b), new, old)
            self._monitor.start_from(params, alive.numpy())
        rngs = tuple(r.get_state() for r in self._rngs) if game.draws else state.rngs
        state = State(state.step + 1, params, memory, buffers, rngs, alive, state.bound, game.cost.spent)
        if state.step < self.steps:
            self._report_progress(state, step.info.losses)
        return state

    # ------------------------------------------------------------------ observers and progress

    def _show(self, state: State, step: Step, metrics: StepMetrics, last: bool = False) -> None:
        """Show the step to all observers."""
        batch, info, buffers = step.batches[0], step.info, step.buffers
        with self._saving_if_raised(state):
            self._audience(Seen(state.step, state.params, state.memory, batch, info, metrics, last, buffers))

    @contextlib.contextmanager
    def _saving_if_raised(self, state: State) -> Iterator[None]:
        """A context for observers: if one raises, ``state`` is saved first."""
        try:
            yield
        except BaseException:
            self._save_untouched(state)
            raise

    def _report_progress(self, state: State, losses: Mapping[str, Tensor]) -> None:
        if self.progress is not None:
            self.progress(state.step, self.steps, losses)

    def _condition_met(self, metrics: StepMetrics, alive: Tensor) -> bool:
        """Whether ``until`` holds for all members. It never does once a member has diverged."""
        return self.until is not None and bool(alive.all()) and self.until(metrics)

    # ------------------------------------------------------------------ the end

    def _interrupted(self, state: State) -> Ending:
        self._save_last(state)
        return Ending(state, "interrupted", f"Stopped from outside at step {state.step}; resume goes on there.")

    def _converged(self, state: State, step: Step, metrics: StepMetrics) -> Ending:
        self._save_last(state)  # before it is shown: a run resumed from here shows this point once more
        self._show(state, step, metrics, last=True)
        self._report_progress(state, step.info.losses)
        return Ending(state, "converged")

    def _diverged(self, state: State, step: Step, metrics: StepMetrics, divergence: Divergence) -> Ending:
        self._save_last(state)
        self._show(state, step, metrics, last=True)
        return diverged_ending(state, divergence)

    def _finish(self, state: State) -> Ending:
        """The end when all steps are taken. The last point is shown too, on the batch that the next step would draw."""
        self._save_last(state)
        step = self._evaluate_at(state)
        metrics, divergence = self._monitor(step)
        self._restore_cost(state)  # this evaluation is not part of the solver's cost
        self.game.cost.measuring += self._lap_seconds()
        self._show(state, step, metrics, last=True)
        self._report_progress(state, step.info.losses)
        alive = alive_after(state, divergence)
        if divergence is not None and not alive.any():
            return diverged_ending(state, divergence)
        state = replace(state, alive=alive)
        if self.until is None:
            return Ending(state, "max_steps")
        if self._condition_met(metrics, alive):
            return Ending(state, "converged")
        return Ending(state, "not_converged", f"The condition was not met within {self.steps} steps.")

    def _evaluate_at(self, state: State) -> Step:
        """The losses and v at ``state`` as a step that goes nowhere."""
        game = replace(self.game, trace=False)
        self._contract.remember(state)
        with guarded("the last look", game):
            buffers = self._contract.checked_buffers(state.buffers, game.refresh(state.params, state.buffers))
            batch = game.draw(state.generators(), buffers)
            info = StepInfo.at(LocalGame.of(game, state.params, batch))
        return Step(state.params, state.memory, buffers, info, [batch], [])  # memory and buffers were checked before

    def _save(self, state: State, last: bool) -> None:
        """Save, with the time that observers have taken until now."""
        self.game.cost.measuring += self._lap_seconds()
        self.save(state, last)

    def _save_last(self, state: State) -> None:
        self._compare_replayed(state)
        self._save(state, True)

    def _compare_replayed(self, state: State) -> None:
        """Compare what was replayed or compiled with the functions themselves. Raises Stale if they differ."""
        game, replay, spent = self.game, self.game.replay, self.game.cost.spent
        with self._saving_on_failure(state):
            replay.step, replay.comparing = state.step, True
            try:
                if self.chunk_runner is not None and state.step > self.chunk_runner.start:
                    self.chunk_runner.compare(game, self.solver, state)
                if replay.replaying and self._last_batches:
                    self.solver.step(game, state.params, state.memory, lambda: self._last_batches[0])
            except Stale:
                raise
            except Exception:  # this step is not part of the run: if it fails otherwise, nothing is lost
                return
            finally:
                replay.comparing, game.cost.spent = False, spent

    # ------------------------------------------------------------------ failures, cost and time

    @contextlib.contextmanager
    def _saving_on_failure(self, state: State) -> Iterator[None]:
        """A context for a step from ``state``: if it fails, ``state`` is saved and the error names the plugin."""
        self._contract.remember(state)
        try:
            yield
            self._contract.require_untouched(state)
        except BaseException as error:
            self._save_untouched(state)
            reported = attributed(error, "a step", self.solver, self.game, refusing=state.step == 0)
            if reported is error:
                raise
            raise reported from error

    def _save_untouched(self, state: State) -> None:
        """Save the state before a step that failed, unless the step has written to it."""
        if self._contract.is_untouched(state):
            with contextlib.suppress(StorageError):  # the user is told of the first failure
                self.save(state, True)

    def _restore_cost(self, state: State) -> None:
        self.game.cost.spent = state.cost

    def _lap_seconds(self) -> float:
        """The seconds since the last call."""
        before, self._time = self._time, time.monotonic()
        return self._time - before
