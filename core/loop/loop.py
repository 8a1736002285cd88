"""The loop takes steps, checks and shows each one, and commits those that are finite. Read :meth:`Loop.play` first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..attribution import guarded
from ..collective import ProcessLost
from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..errors import Interrupted, Stale, StorageError
from ..game.tree import Batch, Buffers, Params
from ..solver.solver import Solver, StepInfo
from ..solver.state import State, tensors
from .chunk_runner import ChunkRunner
from .contract import StepContract
from .ending import Ending, alive_after, diverged_ending, where_alive
from .monitor import Divergence, Monitor, StepMetrics
from .observer_calls import Audience
from .observers import GameView, Observer, Seen
from .step import Step
from .stopping import Stopping

Progress = Callable[[int, int, Mapping[str, Tensor]], None]


@dataclass
class Loop:
    """One run: ``play`` takes it from a state to its end."""

    game: Evaluator
    solver: Solver
    steps: int  # the run ends at this step, counted from its start
    stopping: Stopping  # what ends the run earlier
    game_view: Callable[[Params, Buffers], GameView]  # samples and metrics at a point
    observers: Sequence[Observer]
    save: Callable[[State, bool], None]  # save(state, last) writes a checkpoint if one is due, or if it is the last
    progress: Progress | None = None  # progress(step, steps, losses) is called after every step
    stop: Callable[[], bool] = lambda: False  # asked before every step; True ends the run as interrupted
    chunk_runner: ChunkRunner | None = None  # takes many steps at once where it can (core.compiled)

    def play(self, state: State) -> Ending:
        """Play from ``state`` until all steps are taken, ``stopping`` ends it, or no member is finite any more.

        Raises PluginError if a plugin fails, UsageError if the solver refuses the game; saves the last state first.
        """
        self._begin(state)
        try:
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
                seen = self._seen(state, step, metrics)
                state = self._measured(state, seen)
                if (ending := self.stopping.ending(seen, state, alive)) is not None:
                    return self._stopped(ending, seen)
                self._show(state, seen)
                state = self._commit(state, step, alive)
            return self._finish(state)
        except ProcessLost:  # the others are told why, where the processes are started
            raise
        except Interrupted:  # while spectra at ``state`` were taken
            return self._interrupted(state)

    # ------------------------------------------------------------------ one step

    def _begin(self, state: State) -> None:
        self._rngs = state.generators()
        self._contract = StepContract(self.solver, self.game, state, self.game.members)
        self._monitor = Monitor(state.params, self.game.members, state.bound.numpy(), state.alive.numpy())
        self._audience = Audience(self.observers, self.solver, self.game)
        self._next_solver = self.solver  # takes the next step; a chunk runner may put a compiled solver here
        self._last_batches: list[Batch] = []  # the batches that the last step drew
        self.game.cost.spent = state.cost
        self._time = time.monotonic()

    def _take_chunk(self, state: State) -> State | None:
        """The state after many steps at once, up to one that needs attention. None: the next step does already."""
        self.game.replay.step = state.step  # the evaluator replays traced programs from a certain step on
        if self.chunk_runner is None or state.step < self.chunk_runner.start:
            return None
        self._monitor = self.chunk_runner.monitor(self._monitor, state)
        self._next_solver = self.chunk_runner.solver_at(self.game, self.solver, state)
        self._contract.remember(state)
        most = self._audience.steps_until_due(state.step, self.steps - state.step)
        most = self.stopping.steps_until_due(state.step, most)
        self.game.cost.measuring += self._lap_seconds()
        chunk = self.chunk_runner.take_chunk(state, most, self._monitor, self.stopping.of_steps)
        self.game.cost.solving += self._lap_seconds()
        if chunk is None:
            return None
        with self._saving_if_raised(state):
            self._audience.rows(chunk.columns)
        self.game.cost.spent = chunk.state.cost
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

        step = lambda draw: self._next_solver.step(game, state.params, state.memory, draw)  # noqa: E731
        answer = self._contract.played(step, draw, batches, game)
        params, memory, info, memory_tensors = self._contract.checked_answer(answer)
        return Step(
            game.project(params), memory, buffers, info, batches, memory_tensors + (tensors(buffers) if buffers else [])
        )

    def _commit(self, state: State, step: Step, alive: Tensor) -> State:
        """The state after ``step``. A member that is not finite any more keeps its last finite state until the end."""
        game, params, memory, buffers = self.game, step.params, step.memory, step.buffers
        if alive.dim() and not alive.all():  # an ensemble that has lost a member
            new, old = (params, memory, buffers), (state.params, state.memory, state.buffers)
            params, memory, buffers = tree_map(lambda a, b: where_alive(alive, a, b), new, old)
            self._monitor.start_from(params, alive.numpy())
        rngs = tuple(r.get_state() for r in self._rngs) if game.draws else state.rngs
        state = State(state.step + 1, params, memory, buffers, rngs, alive, state.bound, game.cost.spent, state.best)
        if state.step < self.steps:
            self._report_progress(state, step.info.losses)
        return state

    # ------------------------------------------------------------------ observers and progress

    def _seen(self, state: State, step: Step, metrics: StepMetrics, last: bool = False) -> Seen:
        """The step as it is shown to observers."""
        batch, buffers, game_view = step.batches[0], step.buffers, self.game_view(state.params, step.buffers)
        return Seen(state.step, state.params, state.memory, batch, step.info, metrics, last, buffers, game_view)

    def _show(self, state: State, seen: Seen) -> None:
        """Show a step from ``state`` to all observers."""
        with self._saving_if_raised(state):
            self._audience(seen)

    def _measured(self, state: State, seen: Seen) -> State:
        """``state`` with the best measurement up to this one, where one is due. A state that is the best is saved."""
        if not self.stopping.is_due(seen):
            return state
        with self._saving_if_raised(state):
            if self.stopping.by_metric:
                self._audience.measure(seen)
            state = replace(state, best=self.stopping.best(seen, state.best))
        if state.best is not None and state.best.step == state.step:
            self._save(state, False)
        return state

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

    # ------------------------------------------------------------------ the end

    def _interrupted(self, state: State) -> Ending:
        self._save_last(state)
        return Ending(state, "interrupted", f"Stopped from outside at step {state.step}; resume goes on there.")

    def _stopped(self, ending: Ending, seen: Seen) -> Ending:
        self._save_last(ending.state)  # before it is shown: a run resumed from here shows this point once more
        self._show(ending.state, replace(seen, last=True))
        self._report_progress(ending.state, seen.info.losses)
        return ending

    def _diverged(self, state: State, step: Step, metrics: StepMetrics, divergence: Divergence) -> Ending:
        self._save_last(state)
        self._show(state, self._seen(state, step, metrics, last=True))
        return diverged_ending(state, divergence)

    def _finish(self, state: State) -> Ending:
        """The end when all steps are taken. The last point is shown too, on the batch that the next step would draw."""
        self._save_last(state)
        step = self._evaluate_at(state)
        metrics, divergence = self._monitor(step)
        self.game.cost.spent = state.cost  # this evaluation is not part of the solver's cost
        self.game.cost.measuring += self._lap_seconds()
        seen = self._seen(state, step, metrics, last=True)
        state = self._measured(state, seen)
        self._show(state, seen)
        self._report_progress(state, step.info.losses)
        alive = alive_after(state, divergence)
        if divergence is not None and not alive.any():
            return diverged_ending(state, divergence)
        return self.stopping.last_ending(seen, replace(state, alive=alive))

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
        with guarded("a step", self.solver, self.game, refusing=state.step == 0), self._saving_if_raised(state):
            yield
            self._contract.require_untouched(state)

    def _save_untouched(self, state: State) -> None:
        """Save the state before a step that failed, unless the step has written to it."""
        if self._contract.is_untouched(state):
            with contextlib.suppress(StorageError):  # the user is told of the first failure
                self.save(state, True)

    def _lap_seconds(self) -> float:
        """The seconds since the last call."""
        before, self._time = self._time, time.monotonic()
        return self._time - before
