"""A lock that lets one process at a time use a run directory. The operating system drops it when its owner dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from ..errors import Busy, StorageError

NAME = "lock"


def acquire(directory: Path) -> IO[str]:
    """Hold the directory until the file returned is closed. Raises Busy, which names the process that holds it."""
    try:
        file = open(directory / NAME, "a+", encoding="ascii", errors="replace", opener=_plain)
    except OSError as error:
        raise StorageError(f"Could not lock {directory}: {error.strerror or error}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = _owner(file)
        file.close()
        raise Busy(f"{directory} is in use by process {owner}; wait for it to end, or stop it.") from None
    try:
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # closing tries to write once more
            file.close()
        raise StorageError(f"Could not lock {directory}: {error.strerror or error}.") from error
    return file


def held(directory: Path) -> bool:
    """Whether a living process holds the directory."""
    try:
        with open(directory / NAME, encoding="ascii", errors="replace", opener=_plain) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
            return False
    except OSError:
        return False


def _plain(path: str, flags: int) -> int:
    """Open without following links and without waiting.

    In a stranger's directory the lock may be a link to a file of the user's, or a pipe to which nobody writes.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return file.read(32).strip() or "unknown"
