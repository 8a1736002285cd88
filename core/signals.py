"""Being asked to stop: the first signal lets the step finish and the state be saved, a second one ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from .errors import Interrupted

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


@contextlib.contextmanager
def asked() -> Iterator[Callable[[], bool]]:
    """While open, signals are noted; gives the function that tells whether one has come.

    Outside the main thread signals are the host's business, and nothing is noted.
    """
    count = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os._exit(Interrupted.exit_code)  # at once: what is on disk is whole, whatever else is under way

    before = {}
    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, note)
    except ValueError:
        pass
    try:
        yield lambda: count > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """While open, tells whether a KeyboardInterrupt came from outside: any code may raise one."""
    outside = False

    def noting(handler: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def note(number: int, frame: FrameType | None) -> None:
            nonlocal outside
            outside = True
            handler(number, frame)

        return note

    before = {}
    with contextlib.suppress(ValueError):  # no signal interrupts another thread than the main one
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                signal.signal(number, noting(handler))
                before[number] = handler
    try:
        yield lambda: outside
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
