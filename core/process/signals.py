"""Signals that ask a run to stop: at the first one the step is finished and the state is saved, a second ends at once.

Before and after a run there is nothing to save, and the first signal raises a KeyboardInterrupt. A signal that is
ignored when the process starts (``nohup``, or a shell's job in the background) stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ..errors import Interrupted
from . import torchrun

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
Handler = Callable[[int, FrameType | None], None]

_count = 0  # signals received inside ``raise_interrupt``, but outside ``stop_requested``


class _Stopped(KeyboardInterrupt):
    """A KeyboardInterrupt of another class. After a plain one has passed an import, Python ends by SIGINT at exit."""


@contextlib.contextmanager
def raise_interrupt(ignore_afterwards: bool) -> Iterator[None]:
    """A context in which a signal raises a KeyboardInterrupt, and a second one ends the process.

    ``ignore_afterwards``: signals stay ignored afterwards, because the process is about to end.
    """
    global _count
    _count = 0
    with _handled(lambda _: _interrupt, signal.SIG_IGN if ignore_afterwards else None):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[Any], Handler | None], after: Any = None) -> Iterator[None]:
    """A context in which each signal has the handler ``handler(own)``, made from its own one; None: it keeps that.

    Afterwards it has the handler ``after``, by default its own. Signals that are ignored stay so. Outside the main
    thread Python cannot set handlers, and nothing changes.
    """
    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            own = signal.getsignal(number)
            if own != signal.SIG_IGN and (new := handler(own)) is not None:
                signal.signal(number, new)
                before[number] = own or signal.SIG_DFL  # None: the handler was not set from Python
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own if after is None else after)


def ignore_from_now_on() -> None:
    """Ignore signals while the process ends. Handlers would not do: Python removes them before its end."""
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def received() -> bool:
    """Whether a signal was received outside a run. Its KeyboardInterrupt may have been lost, as in an import."""
    return _count > 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _count
    _count += 1
    if _count > 1:
        os._exit(Interrupted.exit_code)
    raise _Stopped


@contextlib.contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """A context in which a signal is only noted. It gives the function that says whether one was received."""
    count = _count

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1 and not torchrun.several():  # torchrun passes on a signal that each process gets by itself, too
            os._exit(Interrupted.exit_code)  # all files on disk are whole at any time, so nothing need be finished

    with _handled(lambda _: note):
        yield lambda: count > 0


@contextlib.contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """A context that tells the user's KeyboardInterrupt from one raised by code: it says whether a signal came."""
    outside = False

    def noting(own: Any) -> Handler | None:
        def note(number: int, frame: FrameType | None) -> None:
            nonlocal outside
            outside = True
            own(number, frame)

        return note if callable(own) else None

    with _handled(noting):
        yield lambda: outside
