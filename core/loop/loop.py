"""The loop: step after step, looked at and judged, until it is over. A step is committed only when it is finite."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..attribution import blamed, guarded, ours
from ..derivatives.evaluator import Evaluator
from ..derivatives.local import LocalGame
from ..errors import PluginError, Stale, StorageError, UsageError
from ..game.game import innermost
from ..game.tree import Batch, Buffers
from ..solver.solver import Solver, StepInfo
from ..solver.state import State, tensors
from .contract import Contract
from .monitor import Monitor
from .observers import Observer, Seen
from .stopping import Condition
from .untouched import Intact

Progress = Callable[[int, int, Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Ending:
    """The last state, a status of ``schema.RUN_STATES`` and a sentence, if there is something to say."""

    state: State
    status: str
    message: str = ""


class Ahead(Protocol):
    """What takes many steps at once, as far as nothing happens in them: see ``core.compiled``."""

    @property
    def start(self) -> int:
        """The first step that may be taken so."""

    def watching(self, watch: Monitor, state: State) -> Monitor:
        """The watch of a run from its step ``start`` on."""

    def taking(self, game: Evaluator, solver: Solver, state: State) -> Any:
        """The solver that takes this step and those ahead; None: the run's own does."""

    def ahead(self, loop: Loop, solver: Any, state: State, watch: Monitor) -> State:
        """The state after as many steps as nothing happens in, all shown; ``state`` itself if that is none."""

    def compared(self, game: Evaluator, solver: Solver, state: State) -> None:
        """Hold what was taken against ``solver`` once more. Raises Stale."""


@dataclass
class Loop:
    """One run's moving parts. ``save(state, last)`` may write a checkpoint; ``stop()`` asks for an early end."""

    game: Evaluator
    solver: Solver
    steps: int
    met: Condition | None
    observers: Sequence[Observer]
    save: Callable[[State, bool], None]
    progress: Progress | None = None
    stop: Callable[[], bool] = lambda: False
    chunks: Ahead | None = None  # of a compiled solver

    def __post_init__(self) -> None:
        """Our recorders, which call the game, are told from the caller's observers, whose errors are the caller's."""
        known = [(o, ours(getattr(o, "observer", o))) for o in self.observers]
        self._own, self._callers = ([o for o, own in known if own is which] for which in (True, False))
        self._intact = Intact(self.solver, self.game)

    def play(self, state: State) -> Ending:
        game, rngs = self.game, state.generators()
        self._spend(state)
        watch = Monitor(state.params, game.members, state.bound.numpy(), state.alive.numpy())
        contract = Contract(self.solver, game, state, game.members)
        batches: list[Batch] = []
        while state.step < self.steps:
            if self.stop():
                self._compare(state, batches)
                self._save(state, True)
                return Ending(state, "interrupted", f"Stopped from outside at step {state.step}; resume goes on there.")
            self._save(state, False)
            game.clock.step, solver = state.step, self.solver
            if self.chunks is not None and state.step >= self.chunks.start:
                watch = self.chunks.watching(watch, state)
                if (compiled := self.chunks.taking(game, solver, state)) is not None:
                    if (ahead := self.chunks.ahead(self, compiled, state, watch)) is not state:
                        state = ahead
                        self._spend(state)
                        continue
                    solver = compiled
            batches = []
            began = time.monotonic()
            with self._saving(state):
                buffers = contract.refreshed(state.buffers, game.refresh(state.params, state.buffers))

                def draw(buffers: Buffers = buffers, batches: list[Batch] = batches) -> Batch:
                    batches.append(game.draw(rngs, buffers))
                    return batches[-1]

                params, memory, info, kept = contract(solver.step(game, state.params, state.memory, draw))
                params = game.project(params)
                named = {"memory": memory, "buffer": buffers}
                figures, finding = watch(info, params, kept + tensors(buffers), named)  # waits for the device
            game.cost.solving += time.monotonic() - began
            alive = state.alive.numpy()
            sound = alive if finding is None else alive & ~finding.bad
            whole = bool(sound.all())
            over = not (whole or sound.any())
            done = whole and self.met is not None and self.met(figures)  # a member that left meets nothing any more
            if over or done:
                self._compare(state, batches)
                self._save(state, True)  # first: a run resumed from here looks at this point once more
            seen = Seen(state.step, state.params, state.memory, batches[0], info, figures, bool(over or done), buffers)
            self._show(state, seen)
            if finding is not None and over:
                return self._diverged(state, sound, finding.what)
            if done:
                self._progress(state, info)
                return Ending(state, "converged")
            if not whole:  # members that did not stay finite stand where they last were, for good
                new, old = (params, memory, buffers), (state.params, state.memory, state.buffers)
                params, memory, buffers = _keep(sound, new, old)
                watch.rebase(params, sound)
                state = replace(state, alive=torch.from_numpy(np.asarray(sound)))
            state = replace(
                state, step=state.step + 1, params=params, memory=memory, buffers=buffers,
                rngs=tuple(r.get_state() for r in rngs) if game.draws else state.rngs, cost=game.cost.spent,
            )  # fmt: skip
            if state.step < self.steps:
                self._progress(state, info)
        self._compare(state, batches)
        return self._last(state, watch, contract)

    def _save(self, state: State, last: bool) -> None:
        with self._measuring():
            self.save(state, last)

    @contextlib.contextmanager
    def _measuring(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.game.cost.measuring += time.monotonic() - began

    def _compare(self, state: State, batches: list[Batch]) -> None:
        """Where a run ends: hold once more what was replayed against its function. Raises Stale."""
        game, clock, spent = self.game, self.game.clock, self.game.cost.spent
        with self._saving(state), self._measuring():
            clock.step, clock.comparing = state.step, True
            try:
                if self.chunks is not None and state.step > self.chunks.start:
                    self.chunks.compared(game, self.solver, state)
                if clock.replaying and batches:
                    self.solver.step(game, state.params, state.memory, lambda: batches[0])
            except Stale:
                raise
            except Exception:  # nobody will take this step: it may fail as it likes
                return
            finally:
                clock.comparing, game.cost.spent = False, spent

    def _progress(self, state: State, info: StepInfo) -> None:
        if self.progress is not None:
            self.progress(state.step, self.steps, info.losses)

    def _last(self, state: State, watch: Monitor, contract: Contract) -> Ending:
        """The steps are spent: look at the last point too, on the batch the next step would draw."""
        self._save(state, True)
        self._intact.hold(state)
        game = replace(self.game, trace=False)
        with self._measuring(), guarded("the last look", game):
            buffers = contract.refreshed(state.buffers, game.refresh(state.params, state.buffers))
            batch = game.draw(state.generators(), buffers)
            info = StepInfo.at(LocalGame.of(game, state.params, batch))
        figures, finding = watch(info, state.params, [], {})  # the rest of the state was looked at when it was made
        self._spend(state)  # looking costs the solver nothing
        self._show(state, Seen(state.step, state.params, state.memory, batch, info, figures, True, buffers))
        self._progress(state, info)
        if finding is not None:
            sound = state.alive.numpy() & ~finding.bad
            if not sound.any():
                return self._diverged(state, sound, finding.what)
            state = replace(state, alive=torch.from_numpy(np.asarray(sound)))
        if self.met is None:
            return Ending(state, "max_steps")
        if finding is None and state.alive.all() and self.met(figures):
            return Ending(state, "converged")
        return Ending(state, "not_converged", f"The condition was not met within {self.steps} steps.")

    @contextlib.contextmanager
    def _saving(self, state: State) -> Iterator[None]:
        """A step that fails, whatever the reason, takes nothing with it."""
        self._intact.hold(state)
        try:
            yield
            if not self._intact.untouched(state):
                raise self._intact.spoilt()
        except BaseException as error:
            self._rescue(state)
            told = blamed(error, "a step", self.solver, self.game, refusing=state.step == 0)
            if told is error:
                raise
            raise told from error

    def _rescue(self, state: State) -> None:
        """Save the state before a step that failed, if it is whole."""
        if self._intact.whole(state):
            with contextlib.suppress(StorageError):  # what failed first is what is told
                self._save(state, True)

    def _show(self, state: State, seen: Seen) -> None:
        try:
            with self._measuring():
                self._record(seen)
                for observer in self._callers:
                    observer(seen)
        except BaseException:  # whoever looks on, and whatever is raised: what was played stays
            self._rescue(state)
            raise

    def _record(self, seen: Seen) -> None:
        try:
            for observer in self._own:
                observer(seen)
        except UsageError as error:
            game = type(innermost(self.game))
            raise PluginError(f"the game {game.__name__} breaks its contract: {error}", game.__module__) from error
        except BaseException as error:
            told = blamed(error, "what a run records", self.solver, self.game)
            if told is error:
                raise
            raise told from error

    def _spend(self, state: State) -> None:
        self.game.cost.spent = state.cost

    def _diverged(self, state: State, sound: Any, what: str) -> Ending:
        state = replace(state, alive=torch.from_numpy(np.asarray(sound)))
        return Ending(state, "diverged", f"{what[0].upper()}{what[1:]} at step {state.step}.")


def _keep(alive: Any, new: Any, old: Any) -> Any:
    """``new`` for the members alive, ``old`` for the others."""

    def one(a: Any, b: Any) -> Any:
        if not isinstance(a, Tensor) or a.dim() == 0:
            return a  # a step count: the same for all
        mask = torch.as_tensor(alive, device=a.device).reshape(-1, *[1] * (a.dim() - 1))
        return torch.where(mask, a, b)

    return tree_map(one, new, old)
