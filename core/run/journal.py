"""What a run leaves on disk: run.json, status.json, the log and the checkpoints. Or, without a directory, nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ..derivatives.evaluator import Evaluator
from ..derivatives.products import Cost
from ..errors import Stale, StorageError, UsageError
from ..log.history import History
from ..log.segments import blocks_of, column, merge, pieces_of
from ..log.writer import LogWriter
from ..loop.loop import Ending
from ..loop.observers import Observer
from ..provenance.environment import described, run_facts, versions
from ..solver.state import State
from ..storage.lock import NAME
from ..storage.run_directory import RunDirectory, claim
from ..storage.strict_json import dumps
from .checkpoint import prune, save_checkpoint, started
from .next_step import NOT_ALONE, next_step
from .recorders import Trajectory
from .recording import layout_of, recorders
from .settings import Settings

AUTOSAVE_SECONDS = 300.0  # a crash costs at most so much work
SYNC_SECONDS = 5.0  # and a power cut as much as it costs the log: waiting for the disk is most of a small checkpoint


@dataclass
class Journal:
    """The records of one run; a context manager, so that what was recorded survives whatever ends the run."""

    directory: Path | None = None
    observers: list[Observer] = field(default_factory=list)
    log: LogWriter | None = None
    files: RunDirectory | None = None
    lock: IO[str] | None = None
    checkpoint_every: int = 0
    inexact: tuple[Any, ...] = ()  # from which steps on, and why, this is not the uninterrupted run
    began: float = 0.0
    cost: Cost | None = None  # of the run, its clocks
    created: bool = False  # here, not resumed
    made: bool = False  # the directory, too
    saved: int = -1  # the step of the newest checkpoint
    before: int | None = None  # that of the one before it; None: not known
    saved_at: float = 0.0
    synced_at: float = 0.0
    next_step: Callable[[State], dict[str, Any]] | None = None  # what the next one will begin with

    @staticmethod
    def create(
        out: str | Path | None,
        game: Evaluator,
        solver: Any,
        state: State,
        settings: Settings,
        experiment: Mapping[str, Any] | None,
        start_given: bool = False,
        checks: Mapping[str, Any] | None = None,
        history: History | None = None,
    ) -> Journal:
        """Make the run directory, or none; ``history`` is written too. Raises UsageError where it is taken."""
        if out is None:
            return (
                Journal() if history is None else Journal(observers=_in_memory(game, solver, state, settings, history))
            )
        asked = described(game, solver, experiment)
        facts = {"experiment": asked, "references": asked.pop("references", {}), "settings": settings.facts()}
        facts |= {
            "period": solver.period,
            "start_given": start_given,
            "checks": checks or {},
        }  # F' is the derivative of so many steps
        facts |= {"seed": settings.seed, "versions": versions(), **run_facts(game, state.params)}
        made = not Path(out).exists()
        lock = claim(Path(out))
        try:
            marks = [{"step": 0, "changed": [NOT_ALONE]}] if settings.inexact_data else []
            journal = Journal._open(
                RunDirectory(out).begin(facts), game, solver, state, settings, lock, marks, history=history
            )
        except UsageError:
            _withdraw(Path(out), made)
            lock.close()
            raise
        journal.created, journal.made = True, made
        return journal

    @staticmethod
    def reopen(
        files: RunDirectory, lock: IO[str], game: Evaluator, solver: Any, state: State, settings: Settings,
        saved: Mapping[str, Any], pending: Mapping[str, Mapping[str, Tensor]], inexact: list[Any],
    ) -> Journal:  # fmt: skip
        """Go on in a run directory from ``state``, whose checkpoint has ``saved`` where the log stood, and when.

        ``pending`` are the rows it holds. Later blocks hold rows of steps that will be taken again: they are set
        aside, not removed. ``inexact`` says from which steps on, and why, the run is no longer the uninterrupted one.
        """
        blocks = int(saved.get("blocks", 0))
        whole = (files.path / "log.h5").exists()  # then only the ending was not written down
        if whole:
            merge(files.path)  # which may not have come to its end
        else:
            _set_aside([b for b in blocks_of(files.path) if int(b.stem) > blocks], files.path / "aside")
        spent = float(saved.get("seconds", 0.0))
        game.cost.solving = float(saved.get("solver_seconds", 0.0))
        game.cost.measuring = float(saved.get("measuring_seconds", 0.0))
        journal = Journal._open(files, game, solver, state, settings, lock, inexact, spent)
        if whole:
            journal.observers, journal.log = [], None
        elif journal.log is not None:
            journal.log.restore({g: {k: x.numpy() for k, x in t.items()} for g, t in pending.items()})
        if started(files.path):
            journal.saved = state.step
        return journal

    @staticmethod
    def _open(
        files: RunDirectory, game: Evaluator, solver: Any, state: State, settings: Settings, lock: IO[str],
        inexact: Sequence[Any] = (), spent: float = 0.0, history: History | None = None,
    ) -> Journal:  # fmt: skip
        trajectory = Trajectory(state.params, game.members)
        facts = files.run()
        if "experiment" not in facts:
            raise StorageError(f"{files.path / 'run.json'} has gone; the run cannot be recorded there.")
        attrs = {"experiment": dumps(facts["experiment"]), "seed": settings.seed, "versions": dumps(facts["versions"])}
        attrs |= {"inexact": dumps(inexact)} if inexact else {}
        log = LogWriter(files.path, layout_of(game, trajectory, attrs))
        records = [log] if history is None else [log, history]
        began, path = time.monotonic() - spent, lambda: _path(files.path, log)
        observers = recorders(game, solver, settings, state.params, trajectory, records, path, spent)
        ahead = None if settings.inexact_data else partial(next_step, game)
        files.write_status("running", state.step)
        return Journal(
            files.path, observers, log, files, lock, settings.checkpoint_every, tuple(inexact), began,
            saved_at=time.monotonic(), cost=game.cost, next_step=ahead,
        )  # fmt: skip

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self.files is not None:
                self._failed(error, self.files)
        finally:
            if self.lock is not None:
                self.lock.close()

    def _failed(self, error: BaseException, files: RunDirectory) -> None:
        log = self.log
        played = not self.created or self.saved > 0 or log is None or log.sealed > 0 or bool(log.pending())
        if isinstance(error, UsageError) and not played:
            _withdraw(files.path, self.made)  # the name is free again
            return
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        facts = {"stale_since": error.since} if isinstance(error, Stale) else {}
        try:
            if log is not None:
                log.seal()
            files.write_status(state, max(self.saved, 0), f"{type(error).__name__}: {error}", **facts)
        except StorageError:
            if not isinstance(error, StorageError):  # the disk was full already: what failed first is what is told
                raise

    def save(self, state: State, last: bool) -> None:
        """Write a checkpoint if one is due: before the first step, every so many, now and then, and at the end."""
        if self.directory is None or self.saved == state.step:
            return
        due = state.step == 0 or last or self._periodic(state.step)
        if not due and time.monotonic() - self.saved_at < AUTOSAVE_SECONDS:
            return
        held: dict[str, Any] = {}
        blocks = 0
        if self.log is not None:
            if last:
                self.log.seal()
            blocks, rows = self.log.before(state.step)
            held = {
                group: {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in columns.items()}
                for group, columns in rows.items()
            }
        now = time.monotonic()
        numbers = {**state.numbers(), "blocks": blocks}
        numbers |= {"seconds": now - self.began, "inexact": list(self.inexact)}
        if self.cost is not None:
            numbers |= {"solver_seconds": self.cost.solving, "measuring_seconds": self.cost.measuring}
        numbers |= self.next_step(state) if self.next_step is not None else {}
        synced = state.step == 0 or last or now - self.synced_at >= SYNC_SECONDS
        save_checkpoint(self.directory, state.step, {**state.tensors(), "log": held}, numbers, synced=synced)
        if self.before is None or not self._kept(self.before):  # else there is nothing to look for
            prune(self.directory, self._kept)
        self.before, self.saved = self.saved, state.step
        self.saved_at, self.synced_at = now, now if synced else self.synced_at

    def _kept(self, step: int) -> bool:
        """Whether a checkpoint stays when it is no longer one of the last two."""
        return step <= 0 or self._periodic(step)

    def _periodic(self, step: int) -> bool:
        return self.checkpoint_every > 0 and step % self.checkpoint_every == 0

    def close(self, ending: Ending, diverged: tuple[int, ...]) -> None:
        """The run is over, or stopped: one file for the log if it is over, and how it ended."""
        if self.files is None:
            return
        if self.log is not None:
            self.log.seal() if ending.status == "interrupted" else self.log.finish()
        facts = {"diverged_members": list(diverged)} if diverged else {}
        self.files.write_status(ending.status, ending.state.step, ending.message, **facts)


def _withdraw(path: Path, made: bool) -> None:
    """Remove what a run that was refused before its first step has written, and no more than that."""
    shutil.rmtree(path / "checkpoints" / "step-0", ignore_errors=True)
    with contextlib.suppress(OSError):
        (path / "checkpoints").rmdir()
    with contextlib.suppress(OSError):
        for name in ("run.json", "status.json", NAME):
            (path / name).unlink(missing_ok=True)
        if made:
            path.rmdir()  # unless someone else has put something there


def _in_memory(game: Evaluator, solver: Any, state: State, settings: Settings, history: History) -> list[Observer]:
    trajectory = Trajectory(state.params, game.members)
    path = lambda: history["step/parameters"]  # noqa: E731
    return recorders(game, solver, settings, state.params, trajectory, [history], path)


def _set_aside(blocks: list[Path], aside: Path) -> None:
    try:
        for block in blocks:
            aside.mkdir(exist_ok=True)
            free = (aside / f"{block.stem}-{n}.h5" for n in itertools.count(1))
            os.replace(block, next(p for p in free if not p.exists()))
    except OSError as error:
        raise StorageError(f"Could not set aside {block}: {error.strerror or error}.") from error


def _path(directory: Path, log: LogWriter) -> np.ndarray:
    """The parameters (steps, N) recorded so far, in blocks or not: whatever interrupted the run, they are the same."""
    pieces, pending = pieces_of(directory), log.pending().get("step", {})
    count = sum(found.length("step") for _, found in pieces)
    sealed = [column(pieces, "step/parameters", 0, count)] if count else []
    return np.concatenate(sealed + ([pending["parameters"]] if pending else []))
