"""Being asked to stop: the first signal lets the step finish and the state be saved, a second one ends at once.

Before a run has begun, and after it, there is nothing to wait for: the first is a KeyboardInterrupt. A signal that was
ignored when we came, as a shell has it for ``nohup`` and for jobs in the background, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ..errors import Interrupted

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
Handler = Callable[[int, FrameType | None], None]

_early = 0  # signals that came while ``caught`` alone was open


class _Stopped(KeyboardInterrupt):
    """After a plain one has passed through an ``exec``, as imports have, Python ends by SIGINT whoever caught it."""


@contextlib.contextmanager
def caught(to_the_end: bool) -> Iterator[None]:
    """While open, no signal ends the process by itself; ``to_the_end`` of the process, if that is ours."""
    global _early
    _early = 0
    with _handled(lambda _: _interrupt, signal.SIG_IGN if to_the_end else None):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[[Any], Handler | None], after: Any = None) -> Iterator[None]:
    """While open, signals have the handler that is made from their own one; ``after``, by default their own again.

    Those that are ignored stay so. Outside the main thread signals are the host's business, and nothing changes.
    """
    before: dict[signal.Signals, Any] = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            own = signal.getsignal(number)
            if own != signal.SIG_IGN and (new := handler(own)) is not None:
                signal.signal(number, new)
                before[number] = own or signal.SIG_DFL  # None: not Python's
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own if after is None else after)


def over() -> None:
    """There is nothing left to interrupt. What is ignored stays so while Python ends; handlers would not."""
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def came() -> bool:
    """Whether a signal came that may have been swallowed: an import may do that."""
    return _early > 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _early
    _early += 1
    if _early > 1:
        os._exit(Interrupted.exit_code)
    raise _Stopped


@contextlib.contextmanager
def asked() -> Iterator[Callable[[], bool]]:
    """While open, signals are noted; gives the function that tells whether one has come."""
    count = _early

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            os._exit(Interrupted.exit_code)  # at once: what is on disk is whole, whatever else is under way

    with _handled(lambda _: note):
        yield lambda: count > 0


@contextlib.contextmanager
def ctrl_c() -> Iterator[Callable[[], bool]]:
    """While open, tells whether a KeyboardInterrupt came from outside: any code may raise one."""
    outside = False

    def noting(own: Any) -> Handler | None:
        def note(number: int, frame: FrameType | None) -> None:
            nonlocal outside
            outside = True
            own(number, frame)

        return note if callable(own) else None

    with _handled(noting):
        yield lambda: outside
