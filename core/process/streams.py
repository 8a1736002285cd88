"""The standard streams, kept open for the whole command, whatever a shell or a plugin does to them.

If standard output cannot be written, the command ends. If standard error cannot be written, the command goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast


class Unwritten(OSError):
    """The standard output could not be written. ``gone``: its reader has ended, as in ``counterplay list | head``.

    It has no errno, so that click does not treat it as an error of its own.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(getattr(cause, "strerror", None) or str(cause).rstrip("."))
        self.gone = isinstance(cause, BrokenPipeError)


class UnclosableStream:
    """A text stream that other code cannot close. ``on_error`` is called with an error in writing, and may raise."""

    def __init__(self, stream: Any, on_error: Callable[[Exception], None]) -> None:
        self._stream, self._on_error = stream, on_error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text`` and return its length, also where it could not be written and ``on_error`` has not raised."""
        if text != "":  # click tests the stream by writing "", and hides an error in doing so
            self._do(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream; ``on_error`` is called if that fails."""
        self._do(self._stream.flush)

    def close(self) -> None:
        """Do nothing: other code writes here too."""

    def _do(self, act: Callable[..., object], *args: str) -> None:
        try:
            act(*args)
        except UnicodeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: the stream itself has been closed
            with contextlib.suppress(OSError, ValueError):  # otherwise what is buffered would fail again at exit
                _lead_to_null(self._stream.fileno())
            self._on_error(error)


@contextlib.contextmanager
def kept_open() -> Iterator[None]:
    """A context in which the standard streams cannot be closed. Those that were closed before lead to /dev/null."""
    before = sys.stdout, sys.stderr
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # it is closed: the next file that is opened would get its number
            _lead_to_null(number)
    with open(os.devnull, "w", encoding="utf-8") as null:
        sys.stdout = cast(TextIO, UnclosableStream(before[0] or null, _raise))
        sys.stderr = cast(TextIO, UnclosableStream(before[1] or null, _ignore))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """A context in which all output goes to the standard error, also that of C code."""
    errors = cast(TextIO, UnclosableStream(sys.stderr, _ignore)) if sys.stderr is not None else None
    with contextlib.ExitStack() as after:
        after.enter_context(contextlib.redirect_stdout(errors))
        after.enter_context(contextlib.redirect_stderr(errors))
        with contextlib.suppress(OSError):  # one of the two is closed
            output = os.dup(1)
            after.callback(os.close, output)
            after.callback(os.dup2, output, 1)
            os.dup2(2, 1)
        yield


def _lead_to_null(number: int) -> None:
    """Make the file descriptor ``number`` lead to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    os.set_inheritable(number, True)
    if null != number:
        os.close(null)


def _raise(error: Exception) -> None:
    raise Unwritten(error) from error


def _ignore(error: Exception) -> None:
    pass
