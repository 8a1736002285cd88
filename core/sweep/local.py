"""Plays cells on this machine: one process a cell, forked from a server that has imported torch before."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, ClassVar

from ..errors import Interrupted, StorageError
from ..process.orphans import die_with_parent
from .cell import Cell
from .work import Work

Tell = Callable[[Cell, str], None]
_KILLS = 3  # a cell whose process is killed so often is left for the next call
_SERVER_SECONDS = 30.0  # how long to try to start a process
_SECONDS = 0.2  # how long it may take until a request to stop is noticed


def nothing(*about: Any) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Local:
    """Plays cells in ``workers`` processes at once. A process that is killed costs its cell, which is played again."""

    workers: int = 1
    plays: ClassVar[bool] = True

    def __call__(
        self, work: Work, cells: Sequence[Cell], tell: Tell = nothing, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Play the cells in their order, those that other processes have in the meantime left out.

        ``tell(cell, state)`` is called after each. When ``stop()`` is true, the cells under way are saved and left.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([work.module])
        queue, kills = deque(cells), Counter[str]()
        running: dict[Any, tuple[Any, Cell]] = {}
        asked_to_end = False
        try:
            while queue or running:
                if stop() and not asked_to_end:
                    queue.clear()
                    for process, _ in running.values():
                        process.terminate()
                    asked_to_end = True
                while queue and len(running) < self.workers:
                    cell = queue.popleft()
                    if work.is_due(cell):
                        process = _started(context, work, cell)
                        running[process.sentinel] = process, cell
                for sentinel in wait(list(running), timeout=_SECONDS) if running else ():
                    process, cell = running.pop(sentinel)
                    process.join()
                    state = work.sweep.state(cell.name).state
                    if process.exitcode not in (0, Interrupted.exit_code):
                        state = "killed"
                        kills[cell.name] += 1
                        if kills[cell.name] < _KILLS and not asked_to_end:
                            queue.append(cell)
                    tell(cell, state)
        finally:
            for process, _ in running.values():
                process.kill()


def _started(context: Any, work: Work, cell: Cell) -> Any:
    """A process that plays the cell. If the fork server has been killed, another one is started."""
    until = time.monotonic() + _SERVER_SECONDS
    while True:
        process = context.Process(target=_play, args=(work, cell), daemon=False)
        try:
            process.start()
            return process
        except (OSError, EOFError) as error:  # while the server is ending it is still taken for alive
            if time.monotonic() > until:
                raise StorageError(f"Could not start a process for a cell: {error}.") from error
            time.sleep(_SECONDS)


def _play(work: Work, cell: Cell) -> None:
    gc.freeze()  # what was forked is not looked through, so that its memory stays shared
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the parent tells us to end
    with contextlib.suppress(KeyboardInterrupt):
        if work(cell) == "interrupted":
            sys.exit(Interrupted.exit_code)
