"""Being asked to stop: the first signal lets the step finish and the state be saved, a second one ends at once.

Before a run has begun, and after it, there is nothing to wait for: the first is a KeyboardInterrupt. A signal that was
ignored when we came, as a shell has it for ``nohup`` and for jobs in the background, stays ignored.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from ..errors import Interrupted

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]

_early = 0  # signals that came while ``caught`` alone was open
_over = False


class _Stopped(KeyboardInterrupt):
    """After a plain one has passed through an ``exec``, as imports have, Python ends by SIGINT whoever caught it."""


@contextlib.contextmanager
def caught(to_the_end: bool) -> Iterator[None]:
    """While open, no signal ends the process by itself; ``to_the_end`` of the process, if that is ours."""
    global _early, _over
    _early, _over = 0, False
    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread: then signals are the host's business
        for number in _heard():
            before[number] = signal.signal(number, _interrupt)
    if to_the_end and before:
        atexit.register(_ignore, list(before))  # Python itself puts the default actions back when it ends
    try:
        yield
    finally:
        if not to_the_end:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)  # None: not Python's


def _heard() -> list[signal.Signals]:
    return [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]


def over() -> None:
    """There is nothing left to interrupt."""
    global _over
    _over = True


def came() -> bool:
    """Whether a signal came that may have been swallowed: an import may do that."""
    return _early > 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _early
    if _over:
        return
    _early += 1
    if _early > 1:
        os._exit(Interrupted.exit_code)
    raise _Stopped


def _ignore(numbers: list[signal.Signals]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def asked() -> Iterator[Callable[[], bool]]:
    """While open, signals are noted; gives the function that tells whether one has come.

    Outside the main thread signals are the host's business, and nothing is noted.
    """
    count = _early

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os._exit(Interrupted.exit_code)  # at once: what is on disk is whole, whatever else is under way

    before = {}
    try:
        for number in _heard():
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
