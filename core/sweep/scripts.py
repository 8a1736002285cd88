"""Executors that write what plays the cells, and play nothing: an array script for Slurm, a command for each cell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..storage.atomic import write_atomic
from .cell import Cell
from .local import Tell, nothing
from .work import Work

_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=1-{workers}
#SBATCH --cpus-per-task=1
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
# {cells} cells wait. Each job plays cells until none is left. Add what your cluster asks for, as --time.
{command} & child=$!
trap 'kill -USR1 $child' USR1
wait $child; wait $child; code=$?                       # the first wait ends at the signal
[ $code -eq 75 ] && scontrol requeue "$SLURM_JOB_ID"    # out of time: what is saved goes on in the next job
exit $code
"""


def _command(program: Sequence[str], work: Work, *more: str) -> str:
    """The command that plays cells of a sweep in another process."""
    flags = [f for f, wanted in (("--retry", work.retry), ("--take-over", work.foreign)) if wanted]
    return shlex.join([*program, "sweep", "work", str(work.sweep.path), "--quiet", *more, *flags])


@dataclass(frozen=True)
class Commands:
    """Prints a command for each cell, which plays it, for anything that runs lines of a shell.

    ``program`` are the words that start the command line of counterplay.
    """

    program: Sequence[str]
    plays: ClassVar[bool] = False

    def __call__(
        self, work: Work, cells: Sequence[Cell], tell: Tell = nothing, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Print the commands."""
        for cell in cells:
            print(_command(self.program, work, "--cell", cell.name))


@dataclass(frozen=True)
class Slurm:
    """Writes DIR/sweep.sbatch, an array of ``workers`` jobs, and says how it is submitted."""

    program: Sequence[str]
    workers: int
    plays: ClassVar[bool] = False

    def __call__(
        self, work: Work, cells: Sequence[Cell], tell: Tell = nothing, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Write the script; without cells that wait there is none."""
        path = work.sweep.path / "sweep.sbatch"
        jobs = max(1, min(self.workers, len(cells)))
        text = _SCRIPT.format(workers=jobs, cells=len(cells), command=_command(self.program, work, "--workers", "1"))
        write_atomic(path, text.encode())
        print(f"sbatch {shlex.quote(str(path))}")
