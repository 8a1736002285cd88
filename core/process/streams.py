"""The standard streams: there, open and ours to the end, whatever a shell or a plugin does to them.

Output that cannot be written ends a command; messages that nobody can read end nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast


class Unwritten(OSError):
    """The standard output refused what was written to it; ``gone`` if its reader went away, as ``head`` does.

    It has no errno: click would take it for its own.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(getattr(cause, "strerror", None) or str(cause).rstrip("."))
        self.gone = isinstance(cause, BrokenPipeError)


class Kept:
    """A text stream that others cannot close; ``lost`` is told, or raises, what went wrong in writing."""

    def __init__(self, stream: Any, lost: Callable[[Exception], None]) -> None:
        self._stream, self._lost = stream, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if text != "":  # click tries the stream with nothing, and keeps to itself what it learns
            self._do(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def close(self) -> None:
        """Others write here, too."""

    def _do(self, act: Callable[..., object], *args: str) -> None:
        try:
            act(*args)
        except UnicodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: it is closed underneath
            with contextlib.suppress(OSError, ValueError):  # what is still buffered would fail once more at exit
                _nowhere(self._stream.fileno())
            self._lost(error)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """While open, a standard stream that was closed leads nowhere, and the others cannot be closed."""
    before = sys.stdout, sys.stderr
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the next file opened would be the standard stream
            _nowhere(number)
    with open(os.devnull, "w", encoding="utf-8") as null:
        sys.stdout = cast(TextIO, Kept(before[0] or null, _raise))
        sys.stderr = cast(TextIO, Kept(before[1] or null, _ignore))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


@contextlib.contextmanager
def diverted() -> Iterator[None]:
    """While open, output goes to the standard error, also what is written below Python."""
    errors = cast(TextIO, Kept(sys.stderr, _ignore)) if sys.stderr is not None else None
    with contextlib.ExitStack() as after:
        after.enter_context(contextlib.redirect_stdout(errors))
        after.enter_context(contextlib.redirect_stderr(errors))
        with contextlib.suppress(OSError):  # one of them is closed
            output = os.dup(1)
            after.callback(os.close, output)
            after.callback(os.dup2, output, 1)
            os.dup2(2, 1)
        yield


def _nowhere(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.set_inheritable(number, True)
    if null != number:
        os.close(null)


def _raise(error: Exception) -> None:
    raise Unwritten(error) from error


def _ignore(error: Exception) -> None:
    pass
