"""Open a file that may come from a stranger: only a plain file, never a link, a pipe or a device.

A run directory from somewhere else may have links that lead out of it, or a pipe that would block its reader.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from ..errors import BadLog


def open_plain(path: Path | str) -> BufferedReader:
    """Open ``path`` for reading. Raises OSError as open does, BadLog where it is anything but a plain file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):
            raise BadLog(f"{path} is a link or no file at all; a run directory holds plain files only.") from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadLog(f"{path} is no plain file, as everything in a run directory is.")
    return os.fdopen(handle, "rb")


def read_plain(path: Path | str, limit: int) -> bytes:
    """Return the bytes of a plain file. Raises BadLog where there are more than ``limit``."""
    with open_plain(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadLog(f"{path} is larger than any file of this kind can be; it was not written by counterplay.")
    return data
