"""Executors: where the cells of a sweep are played. One is chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ..errors import UsageError, did_you_mean
from .cell import Cell
from .dask_cluster import Dask
from .local import Local, Tell
from .scripts import Commands, Slurm
from .work import Work


class Executor(Protocol):
    """Plays cells: calls ``work(cell)`` for each, in whatever processes.

    ``tell(cell, state)`` is called when a cell is done. When ``stop()`` is true, the cells under way are saved and the
    others left. ``plays``: whether they are played when the call returns, or a script has been written that plays them.
    """

    plays: ClassVar[bool]

    def __call__(
        self, work: Work, cells: Sequence[Cell], tell: Tell = ..., stop: Callable[[], bool] = ..., /
    ) -> None: ...


def executor(
    name: str, workers: int, scheduler: str | None = None, program: Sequence[str] = ("counterplay",)
) -> Executor:
    """The executor of that name. Raises UsageError.

    ``scheduler`` is the address of dask's; ``program`` are the words that start counterplay in a script.
    """
    known: dict[str, Callable[[], Executor]] = {
        "local": lambda: Local(workers),
        "dask": lambda: Dask(workers, scheduler),
        "slurm": lambda: Slurm(program, workers),
        "command": lambda: Commands(program),
    }
    if name not in known:
        raise UsageError(f"unknown executor {name!r}{did_you_mean(name, known)} Executors are {', '.join(known)}.")
    if scheduler is not None and name != "dask":
        raise UsageError(f"--scheduler is dask's, and the executor is {name}: leave one of them out.")
    return known[name]()
