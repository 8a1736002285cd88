"""Plays cells on this machine, in processes forked from a server that has imported torch before.

A cell has a process of its own, but short ones share one: its start would cost more than they do.
"""

from __future__ import annotations

import contextlib
import gc
import math
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
from ..log.schema import ENDED
from ..process.orphans import die_with_parent
from .cell import Cell
from .work import Work

Tell = Callable[[Cell, str], None]
_KILLS = 3  # a cell whose process is killed so often is left for the next call
_SERVER_SECONDS = 30.0  # how long to try to start a process
_SECONDS = 0.2  # how long it may take until a request to stop is noticed
_SHARED_SECONDS = 5.0  # a process plays further cells until then


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
        queue, kills, running = deque(cells), Counter[str](), dict[Any, _Turn]()
        seconds = math.inf  # that a cell takes, as far as is known
        asked_to_end = False
        try:
            while queue or running:
                if stop() and not asked_to_end:
                    queue.clear()
                    for turn in running.values():
                        turn.process.terminate()
                    asked_to_end = True
                while queue and len(running) < self.workers:
                    share = max(1, min(int(_SHARED_SECONDS / seconds), len(queue) // (2 * self.workers)))
                    if due := [cell for cell in (queue.popleft() for _ in range(share)) if work.is_due(cell)]:
                        turn = _started(context, work, due)
                        running[turn.process.sentinel] = turn
                for sentinel in wait(list(running), timeout=_SECONDS) if running else ():
                    turn = running.pop(sentinel)
                    begun, left = turn.ended()
                    seconds = (time.monotonic() - turn.since) / len(begun)
                    states = [work.sweep.state(cell.name).state for cell in begun]
                    if turn.was_killed and states[-1] not in ENDED and not asked_to_end:
                        states[-1] = "killed"
                        kills[begun[-1].name] += 1
                        if kills[begun[-1].name] < _KILLS:
                            left.append(begun[-1])
                    queue.extendleft(reversed([] if asked_to_end else left))
                    for cell, state in zip(begun, states, strict=True):
                        tell(cell, state)
        finally:
            for turn in running.values():
                turn.process.kill()


@dataclass(frozen=True)
class _Turn:
    """A process and the cells it was given, of which it tells how many it has begun."""

    process: Any
    cells: Sequence[Cell]
    count: Any
    since: float

    def ended(self) -> tuple[list[Cell], list[Cell]]:
        """Wait for its end: the cells that it has begun, at least the first, and those that it has left."""
        self.process.join()
        begun = 1
        with contextlib.suppress(EOFError, OSError):
            while self.count.poll():
                begun = self.count.recv()
        self.count.close()
        return list(self.cells[:begun]), list(self.cells[begun:])

    @property
    def was_killed(self) -> bool:
        """Whether it ended in another way than by itself."""
        return self.process.exitcode not in (0, Interrupted.exit_code)


def _started(context: Any, work: Work, cells: Sequence[Cell]) -> _Turn:
    """A process that plays the cells. If the fork server has been killed, another one is started."""
    until = time.monotonic() + _SERVER_SECONDS
    while True:
        count, begun = context.Pipe(duplex=False)
        process = context.Process(target=_play, args=(work, cells, begun), daemon=False)
        try:
            process.start()
            return _Turn(process, cells, count, time.monotonic())
        except (OSError, EOFError) as error:  # while the server is ending it is still taken for alive
            if time.monotonic() > until:
                raise StorageError(f"Could not start a process for a cell: {error}.") from error
            time.sleep(_SECONDS)
        finally:
            begun.close()


def _play(work: Work, cells: Sequence[Cell], begun: Any) -> None:
    gc.freeze()  # what was forked is not looked through, so that its memory stays shared
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all: the parent tells us to end
    until = time.monotonic() + _SHARED_SECONDS
    with contextlib.suppress(KeyboardInterrupt):
        for number, cell in enumerate(cells, start=1):
            begun.send(number)
            if work(cell) == "interrupted":
                sys.exit(Interrupted.exit_code)
            if time.monotonic() > until:
                break
