"""Plays one cell in this process: claims it, plays it, and keeps the reason if it fails."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadLog, Busy, StorageError, UserError
from ..log.schema import ENDED
from ..storage.run_directory import RunDirectory
from .cell import Cell
from .sweep_directory import SweepDirectory

Play = Callable[..., None]
"""``play(directory, experiment)`` begins the run of a cell in its directory, or goes on with it, and returns when the
run has ended or was interrupted. It is a function of a module, so that another process can import it. For successive
halving it also takes ``stop_at``, a step where the run is interrupted."""

_one_at_a_time = threading.Lock()  # torch's settings hold for a whole process, and a run may change them


@dataclass(frozen=True)
class Work:
    """What an executor does with a cell: call it, in any process on any machine that sees the sweep.

    retry    cells that failed or were dropped are played again
    foreign  what processes of other machines have claimed is void: they are gone
    """

    sweep: SweepDirectory
    play: Play
    retry: bool = False
    foreign: bool = False

    def __post_init__(self) -> None:
        self.sweep.folder  # noqa: B018  # read here once: it goes with this object to other processes

    def __call__(self, cell: Cell) -> str:
        """Play the cell, if it waits to be played, and return its state afterwards (`CellState.state`)."""
        with _one_at_a_time:
            if not self.sweep.claims.take(cell.name, self.foreign):
                return "running"
            try:
                return self._play(cell)
            finally:
                self.sweep.claims.release(cell.name)

    def is_due(self, cell: Cell) -> bool:
        """Whether the cell waits to be played, as far as is known without claiming it."""
        if self.foreign and (owner := self.sweep.claims.owner(cell.name)) is not None and not owner.is_here:
            return True
        return bool(self.sweep.waiting([cell], failed=self.retry))

    def _play(self, cell: Cell) -> str:
        directory = self.sweep.directory(cell.name)
        before = _state(directory)
        if self._is_over(before):
            return before
        try:
            with _in_folder(self.sweep.folder):
                self.play(directory, cell.experiment)
        except Busy:  # its lock is held, whoever has the claim
            return "running"
        except UserError as error:
            _keep(directory, str(error))
        except Exception as error:
            _keep(directory, f"{type(error).__name__}: {error}")
        return _state(directory)

    @property
    def module(self) -> str:
        """The module of ``play``, which a fork server imports before it starts processes."""
        return str(getattr(self.play, "func", self.play).__module__)

    def _is_over(self, state: str) -> bool:
        """Whether another process has played the cell in the meantime."""
        return state in ENDED or (state == "failed" and not self.retry)


def _state(directory: Path) -> str:
    """The state in a run's status.json; "waiting" where there is none, "failed" where it is damaged."""
    try:
        return str(RunDirectory(directory).status().get("state", "waiting"))
    except BadLog:
        return "failed"


def _keep(directory: Path, reason: str) -> None:
    """Write down why a cell failed, in its run directory; where that cannot be written, say it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if _state(directory) != "failed":
            files = RunDirectory(directory)
            files.write_status("failed", int(files.status().get("step", 0)), reason)
    except (OSError, StorageError) as error:
        print(f"{directory} failed: {reason} This could not be kept: {error}", file=sys.stderr)


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """A context in which relative paths begin in ``folder``, if this machine has it."""
    before = os.getcwd()
    try:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        yield
    finally:
        os.chdir(before)
