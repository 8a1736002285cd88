"""The loop: step after step, looked at and judged, until it is over. A step is committed only when it is finite."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..attribution import blamed, guarded
from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..errors import Stale, StorageError
from ..game.tree import Batch
from ..solver.solver import Solver, StepInfo
from ..solver.state import State, tensors
from .audience import Audience
from .contract import Contract
from .leaper import Leaper
from .monitor import Finding, Monitor, StepMetrics
from .observers import Observer, Seen
from .step import Step
from .stopping import Condition

Progress = Callable[[int, int, Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Ending:
    """The last state, a status of ``schema.RUN_STATES`` and a sentence, if there is something to say."""

    state: State
    status: str
    message: str = ""


@dataclass
class Loop:
    """One run's moving parts. ``save(state, last)`` may write a checkpoint; ``stop()`` asks for an early end."""

    game: Evaluator
    solver: Solver
    steps: int
    until: Condition | None
    observers: Sequence[Observer]
    save: Callable[[State, bool], None]
    progress: Progress | None = None
    stop: Callable[[], bool] = lambda: False
    leaper: Leaper | None = None  # of a compiled solver

    def play(self, state: State) -> Ending:
        """Step after step from ``state``, until the steps are spent, ``until`` holds or nothing finite is left."""
        self._begin(state)
        while state.step < self.steps:
            if self.stop():
                return self._interrupted(state)
            self.save(state, False)
            if (later := self._leap(state)) is not None:
                state = later
                continue
            step, metrics, finding = self._take(state)
            alive = _still_alive(state, finding)
            if finding is not None and not alive.any():
                return self._diverged(state, step, metrics, finding)
            if self._holds(metrics, alive):
                return self._converged(state, step, metrics)
            self._show(state, step, metrics)
            state = self._commit(state, step, alive)
        return self._finish(state)

    # ------------------------------------------------------------------ one step

    def _begin(self, state: State) -> None:
        self._rngs = state.generators()
        self._contract = Contract(self.solver, self.game, state, self.game.members)
        self._monitor = Monitor(state.params, self.game.members, state.bound.numpy(), state.alive.numpy())
        self._audience = Audience(self.observers, self.solver, self.game)
        self._taking = self.solver  # the solver that takes the next step
        self._batches: list[Batch] = []  # what the last step drew
        self._restore_cost(state)
        self._time = time.monotonic()

    def _leap(self, state: State) -> State | None:
        """The state after as many steps as nothing happens in; None if that is none."""
        self.game.clock.step = state.step
        if self.leaper is None or state.step < self.leaper.start:
            return None
        self._monitor = self.leaper.monitor(self._monitor, state)
        self._taking = self.leaper.solver_at(self.game, self.solver, state)
        due = self._audience.room(state.step)
        room = self.steps - state.step if due is None else min(due, self.steps - state.step)
        self.game.cost.measuring += self._lap()
        leap = self.leaper.leap(state, room, self._monitor, self.until)
        self.game.cost.solving += self._lap()
        if leap is None:
            return None
        self._audience.rows(leap.columns)
        self._restore_cost(leap.state)
        losses = torch.from_numpy(leap.columns["losses"][-1])  # ([M,] P)
        if leap.state.step < self.steps:
            self._tell(leap.state, dict(zip(self.game.players, losses.unbind(-1), strict=True)))
        return leap.state

    def _take(self, state: State) -> tuple[Step, StepMetrics, Finding | None]:
        """The next step, its metrics, and what is wrong with it. The solver's time is this; all other is measuring."""
        self.game.cost.measuring += self._lap()
        with self._guarding(state):
            step = self._step(state)
            metrics, finding = self._monitor(step)  # waits for the device
        self.game.cost.solving += self._lap()
        return step, metrics, finding

    def _step(self, state: State) -> Step:
        game, rngs, batches = self.game, self._rngs, list[Batch]()
        self._batches = batches
        buffers = self._contract.refreshed(state.buffers, game.refresh(state.params, state.buffers))

        def draw() -> Batch:
            batches.append(game.draw(rngs, buffers))
            return batches[-1]

        answer = self._taking.step(game, state.params, state.memory, draw)
        params, memory, info, rest = self._contract.answered(answer)
        return Step(game.project(params), memory, buffers, info, batches, rest + tensors(buffers))

    def _commit(self, state: State, step: Step, alive: Tensor) -> State:
        """The state after the step. Members that did not stay finite stand where they last were, for good."""
        game, params, memory, buffers = self.game, step.params, step.memory, step.buffers
        if alive.dim() and not alive.all():
            new, old = (params, memory, buffers), (state.params, state.memory, state.buffers)
            params, memory, buffers = tree_map(lambda a, b: _where(alive, a, b), new, old)
            self._monitor.rebase(params, alive.numpy())
        rngs = tuple(r.get_state() for r in self._rngs) if game.draws else state.rngs
        state = State(state.step + 1, params, memory, buffers, rngs, alive, state.bound, game.cost.spent)
        if state.step < self.steps:
            self._tell(state, step.info.losses)
        return state

    # ------------------------------------------------------------------ those who look on

    def _show(self, state: State, step: Step, metrics: StepMetrics, last: bool = False) -> None:
        """Whoever looks on, and whatever is raised: what was played stays."""
        batch, info, buffers = step.batches[0], step.info, step.buffers
        try:
            self._audience(Seen(state.step, state.params, state.memory, batch, info, metrics, last, buffers))
        except BaseException:
            self._rescue(state)
            raise

    def _tell(self, state: State, losses: Mapping[str, Tensor]) -> None:
        if self.progress is not None:
            self.progress(state.step, self.steps, losses)

    def _holds(self, metrics: StepMetrics, alive: Tensor) -> bool:
        """Whether the condition holds: for all members, and one that diverged meets nothing any more."""
        return self.until is not None and bool(alive.all()) and self.until(metrics)

    # ------------------------------------------------------------------ the end

    def _interrupted(self, state: State) -> Ending:
        self._save_last(state)
        return Ending(state, "interrupted", f"Stopped from outside at step {state.step}; resume goes on there.")

    def _converged(self, state: State, step: Step, metrics: StepMetrics) -> Ending:
        self._save_last(state)  # before anyone looks: a run resumed from here looks at this point once more
        self._show(state, step, metrics, last=True)
        self._tell(state, step.info.losses)
        return Ending(state, "converged")

    def _diverged(self, state: State, step: Step, metrics: StepMetrics, finding: Finding) -> Ending:
        self._save_last(state)
        self._show(state, step, metrics, last=True)
        return _divergence(state, finding)

    def _finish(self, state: State) -> Ending:
        """The steps are spent: look at the last point too, on the batch that the next step would draw."""
        self._save_last(state)
        step = self._stand(state)
        metrics, finding = self._monitor(step)
        self._restore_cost(state)  # looking costs the solver nothing
        self.game.cost.measuring += self._lap()
        self._show(state, step, metrics, last=True)
        self._tell(state, step.info.losses)
        alive = _still_alive(state, finding)
        if finding is not None and not alive.any():
            return _divergence(state, finding)
        state = replace(state, alive=alive)
        if self.until is None:
            return Ending(state, "max_steps")
        if self._holds(metrics, alive):
            return Ending(state, "converged")
        return Ending(state, "not_converged", f"The condition was not met within {self.steps} steps.")

    def _stand(self, state: State) -> Step:
        """What there is to see at ``state``, from which no step is taken."""
        game = replace(self.game, trace=False)
        self._contract.hold(state)
        with guarded("the last look", game):
            buffers = self._contract.refreshed(state.buffers, game.refresh(state.params, state.buffers))
            batch = game.draw(state.generators(), buffers)
            info = StepInfo.at(LocalGame.of(game, state.params, batch))
        return Step(state.params, state.memory, buffers, info, [batch], [])  # the rest was looked at when it was made

    def _save_last(self, state: State) -> None:
        self._compare(state)
        self.save(state, True)

    def _compare(self, state: State) -> None:
        """Compare what was replayed with its function once more. Raises Stale where they have come apart."""
        game, clock, spent = self.game, self.game.clock, self.game.cost.spent
        with self._guarding(state):
            clock.step, clock.comparing = state.step, True
            try:
                if self.leaper is not None and state.step > self.leaper.start:
                    self.leaper.compare(game, self.solver, state)
                if clock.replaying and self._batches:
                    self.solver.step(game, state.params, state.memory, lambda: self._batches[0])
            except Stale:
                raise
            except Exception:  # nobody will take this step: it may fail as it likes
                return
            finally:
                clock.comparing, game.cost.spent = False, spent

    # ------------------------------------------------------------------ what fails

    @contextlib.contextmanager
    def _guarding(self, state: State) -> Iterator[None]:
        """A step that fails, whatever the reason, takes nothing with it."""
        self._contract.hold(state)
        try:
            yield
            self._contract.require_untouched(state)
        except BaseException as error:
            self._rescue(state)
            told = blamed(error, "a step", self.solver, self.game, refusing=state.step == 0)
            if told is error:
                raise
            raise told from error

    def _rescue(self, state: State) -> None:
        """Save the state before a step that failed, if it is whole."""
        if self._contract.whole(state):
            with contextlib.suppress(StorageError):  # what failed first is what is told
                self.save(state, True)

    def _restore_cost(self, state: State) -> None:
        self.game.cost.spent = state.cost

    def _lap(self) -> float:
        """Seconds since the last lap."""
        before, self._time = self._time, time.monotonic()
        return self._time - before


def _still_alive(state: State, finding: Finding | None) -> Tensor:
    """(), or (M,): the members that are finite after a step from ``state`` as well."""
    return state.alive if finding is None else state.alive & ~torch.from_numpy(np.asarray(finding.bad))


def _divergence(state: State, finding: Finding) -> Ending:
    """``state`` is the last finite one; no member stays alive."""
    what = f"{finding.what[0].upper()}{finding.what[1:]} at step {state.step}."
    return Ending(replace(state, alive=torch.zeros_like(state.alive)), "diverged", what)


def _where(alive: Tensor, new: Any, old: Any) -> Any:
    """``new`` for the members alive, ``old`` for the others."""
    if not isinstance(new, Tensor) or new.dim() == 0:
        return new  # a step count: the same for all
    return torch.where(alive.to(new.device).reshape(-1, *[1] * (new.dim() - 1)), new, old)
