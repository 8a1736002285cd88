"""What a run writes to disk: run.json, status.json, the log and the checkpoints. Without a directory it is nothing."""

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
from ..errors import Interrupted, Stale, StorageError, UsageError
from ..log.blocks import blocks_of, column, merge, pieces_of
from ..log.history import History
from ..log.writer import LogWriter
from ..loop.ending import Ending
from ..loop.observers import Observer
from ..provenance.environment import described, run_facts, versions
from ..provenance.reproducibility import INEXACT_DATA, next_step_record
from ..solver.state import State
from ..storage.lock import NAME
from ..storage.run_directory import RunDirectory, claim
from ..storage.strict_json import dumps
from .checkpoint import has_checkpoint, prune, save_checkpoint
from .recorder_setup import layout_of, recorders
from .recorders import DIRECTIONS, ParameterSummary
from .settings import Settings

AUTOSAVE_SECONDS = 300.0  # a checkpoint is due after so long: a crash loses no more work
SYNC_SECONDS = 5.0  # only then is it synced, since waiting for the disk is most of the cost of a small checkpoint


@dataclass
class RunWriter:
    """The records of one run, as a context manager: what was recorded is kept, whatever ends the run."""

    directory: Path | None = None
    observers: list[Observer] = field(default_factory=list)
    log: LogWriter | None = None
    files: RunDirectory | None = None
    lock: IO[str] | None = None
    checkpoint_every: int = 0
    inexact: tuple[Any, ...] = ()  # from which steps on, and why, results may differ from the uninterrupted run's
    began: float = 0.0  # when the run began, on the monotonic clock, without the time between its parts
    cost: Cost | None = None  # of the run; it also holds the clocks
    is_new: bool = False  # whether the run began here, and was not resumed
    made_directory: bool = False  # whether it also made the directory
    saved: int = -1  # the step of the newest checkpoint
    before: int | None = None  # the step of the one before it; None: not known
    best: int | None = None  # the step of the best measurement so far, whose checkpoint is kept
    saved_at: float = 0.0
    synced_at: float = 0.0
    next_step_record: Callable[[State], dict[str, Any]] | None = None  # of the next step, for checkpoints

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
    ) -> RunWriter:
        """Begin the records of a run, in the new directory ``out`` and in ``history``, if these are given.

        Raises UsageError if the directory is not empty.
        """
        if out is None:
            kept = [] if history is None else _in_memory(game, solver, state, settings, history)
            return RunWriter(observers=kept)
        asked = described(game, solver, experiment)
        facts = {"experiment": asked, "references": asked.pop("references", {}), "settings": settings.facts()}
        facts |= {"period": solver.period, "step_size_policy": solver.step_size_policy, "directions": DIRECTIONS}
        facts |= {"start_given": start_given, "checks": checks or {}, "seed": settings.seed}
        facts |= {"versions": versions(), **run_facts(game, state.params)}
        if provenance := game.game.metric_provenance():
            facts["metrics"] = {name: dict(about) for name, about in provenance.items()}
        made_directory = not Path(out).exists()
        lock = claim(Path(out))
        try:
            marks = [{"step": 0, "changed": [INEXACT_DATA]}] if settings.inexact_data else []
            writer = RunWriter._open(
                RunDirectory(out).begin(facts), game, solver, state, settings, lock, marks, history=history
            )
        except UsageError:
            _remove_refused(Path(out), made_directory)
            lock.close()
            raise
        writer.is_new, writer.made_directory = True, made_directory
        return writer

    @staticmethod
    def reopen(
        files: RunDirectory, lock: IO[str], game: Evaluator, solver: Any, state: State, settings: Settings,
        saved: Mapping[str, Any], pending: Mapping[str, Mapping[str, Tensor]], inexact: list[Any],
    ) -> RunWriter:  # fmt: skip
        """Go on in a run directory from ``state``, which is that of a checkpoint.

        ``saved`` are the numbers in the checkpoint, among them the blocks of the log at that time and the clocks.
        ``pending`` are the rows of the log that were in no block yet. Later blocks hold rows of steps that will be
        taken again; they are moved aside, not deleted. ``inexact`` says from which steps on, and why, results may
        differ from those of the uninterrupted run.
        """
        blocks = int(saved.get("blocks", 0))
        whole = (files.path / "log.h5").exists()  # then the run is over, but its ending was not written down
        if whole:
            merge(files.path)  # again, as it may have been interrupted
        else:
            _set_aside([b for b in blocks_of(files.path) if int(b.stem) > blocks], files.path / "aside")
        spent = float(saved.get("seconds", 0.0))
        game.cost.solving = float(saved.get("solver_seconds", 0.0))
        game.cost.measuring = float(saved.get("measuring_seconds", 0.0))
        writer = RunWriter._open(files, game, solver, state, settings, lock, inexact, spent)
        if whole:
            writer.observers, writer.log = [], None
        elif writer.log is not None:
            writer.log.restore({g: {k: x.numpy() for k, x in t.items()} for g, t in pending.items()})
        if has_checkpoint(files.path):
            writer.saved = state.step
        return writer

    @staticmethod
    def _open(
        files: RunDirectory, game: Evaluator, solver: Any, state: State, settings: Settings, lock: IO[str],
        inexact: Sequence[Any] = (), spent: float = 0.0, history: History | None = None,
    ) -> RunWriter:  # fmt: skip
        facts = files.run()
        if "experiment" not in facts:
            raise StorageError(f"{files.path / 'run.json'} has gone; the run cannot be recorded there.")
        parameter_summary = ParameterSummary(state.params, game.members, int(facts.get("directions", 1)))
        attrs = {"experiment": dumps(facts["experiment"]), "seed": settings.seed, "versions": dumps(facts["versions"])}
        attrs |= {"inexact": dumps(inexact)} if inexact else {}
        log = LogWriter(files.path, layout_of(game, parameter_summary, attrs))
        records = [log] if history is None else [log, history]
        began, path = time.monotonic() - spent, lambda: _recorded_parameters(files.path, log)
        observers = recorders(game, solver, settings, state.params, parameter_summary, records, path, spent)
        next_record = None if settings.inexact_data else partial(next_step_record, game)
        files.write_status("running", state.step)
        return RunWriter(
            files.path, observers, log, files, lock, settings.checkpoint_every, tuple(inexact), began,
            saved_at=time.monotonic(), cost=game.cost, next_step_record=next_record,
        )  # fmt: skip

    def __enter__(self) -> RunWriter:
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
        played = not self.is_new or self.saved > 0 or log is None or log.sealed > 0 or bool(log.pending())
        if isinstance(error, UsageError) and not played:
            _remove_refused(files.path, self.made_directory)  # so that the directory can be used again
            return
        state = "interrupted" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed"
        facts = {"stale_since": error.since} if isinstance(error, Stale) else {}
        try:
            if log is not None:
                log.seal()
            files.write_status(state, max(self.saved, 0), f"{type(error).__name__}: {error}", **facts)
        except StorageError:
            if not isinstance(error, StorageError):  # else the disk failed before: report that first error
                raise

    def save(self, state: State, last: bool) -> None:
        """Write a checkpoint if one is due: at the start, the end, a best point, every so many steps or minutes."""
        if self.directory is None:
            return
        best = None if state.best is None else state.best.step
        found, self.best = best != self.best, best
        if self.saved != state.step and self._is_due(state, last):
            self._write(self.directory, state, last)
        if found:
            prune(self.directory, self._is_kept)  # the best one until now is not kept any longer

    def _is_due(self, state: State, last: bool) -> bool:
        if state.step in (0, self.best) or last or self._is_periodic(state.step):
            return True
        return time.monotonic() - self.saved_at >= AUTOSAVE_SECONDS

    def _write(self, directory: Path, state: State, last: bool) -> None:
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
        numbers |= self.next_step_record(state) if self.next_step_record is not None else {}
        synced = state.step == 0 or last or now - self.synced_at >= SYNC_SECONDS
        save_checkpoint(directory, state.step, {**state.tensors(), "log": held}, numbers, synced=synced)
        if self.before is None or not self._is_kept(self.before):  # else there is nothing to remove
            prune(directory, self._is_kept)
        self.before, self.saved = self.saved, state.step
        self.saved_at, self.synced_at = now, now if synced else self.synced_at

    def _is_kept(self, step: int) -> bool:
        """Whether the checkpoint of ``step`` is kept when two newer ones exist."""
        return step <= 0 or step == self.best or self._is_periodic(step)

    def _is_periodic(self, step: int) -> bool:
        return self.checkpoint_every > 0 and step % self.checkpoint_every == 0

    def close(self, ending: Ending, diverged: tuple[int, ...]) -> None:
        """Write how the run ended. If it is over, and not only interrupted, make one file of its log."""
        if self.files is None:
            return
        if self.log is not None:
            self.log.seal() if ending.status == "interrupted" else self.log.finish()
        facts: dict[str, Any] = {"diverged_members": list(diverged)} if diverged else {}
        facts |= {} if ending.state.best is None else {"best_step": ending.state.best.step}
        self.files.write_status(ending.status, ending.state.step, ending.message, **facts)


def _remove_refused(path: Path, made_directory: bool) -> None:
    """Remove the files of a run that was refused before its first step, and nothing else."""
    shutil.rmtree(path / "checkpoints" / "step-0", ignore_errors=True)
    with contextlib.suppress(OSError):
        (path / "checkpoints").rmdir()
    with contextlib.suppress(OSError):
        for name in ("run.json", "status.json", NAME):
            (path / name).unlink(missing_ok=True)
        if made_directory:
            path.rmdir()  # fails, as it should, if someone else has put something there


def _in_memory(game: Evaluator, solver: Any, state: State, settings: Settings, history: History) -> list[Observer]:
    """The recorders of a run that is recorded in ``history`` only."""
    parameter_summary = ParameterSummary(state.params, game.members)
    path = lambda: history["step/parameters"]  # noqa: E731
    return recorders(game, solver, settings, state.params, parameter_summary, [history], path)


def _set_aside(blocks: list[Path], aside: Path) -> None:
    """Move ``blocks`` into the directory ``aside``, under names that are free there."""
    try:
        for block in blocks:
            aside.mkdir(exist_ok=True)
            free = (aside / f"{block.stem}-{n}.h5" for n in itertools.count(1))
            os.replace(block, next(p for p in free if not p.exists()))
    except OSError as error:
        raise StorageError(f"Could not set aside {block}: {error.strerror or error}.") from error


def _recorded_parameters(directory: Path, log: LogWriter) -> np.ndarray:
    """All parameters recorded so far, (steps, N), whether they are in a block of the log yet or not."""
    pieces, pending = pieces_of(directory), log.pending().get("step", {})
    count = sum(found.length("step") for _, found in pieces)
    sealed = [column(pieces, "step/parameters", 0, count)] if count else []
    return np.concatenate(sealed + ([pending["parameters"]] if pending else []))
