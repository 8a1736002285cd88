"""Files that are written whole or not at all, and are on the disk when that is said."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path | str, data: bytes | Iterable[bytes]) -> Path:
    """Write ``data`` to ``path`` so that a reader, or a crash at any moment, finds the old file or the new one whole.

    ``data`` may come in parts, of which there may be more than the memory holds. Raises StorageError naming the path
    where the file system refuses.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.tmp")  # never ends in .h5: no reader takes a draft for a block
    try:
        draft.unlink(missing_ok=True)  # a stranger's directory may have a link there, to a file of the user's
        write_new(draft, data)
        os.replace(draft, path)
        sync_directory(path.parent)
    except BaseException as error:  # parts may fail to come
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        what = f"there is no directory {path.parent}" if not path.parent.is_dir() else error.strerror or error
        advice = "Free some space or choose another place" if error.errno in _FULL else "Choose another place"
        raise StorageError(f"Could not write {path}: {what}. {advice}.") from error
    return path


def write_new(path: Path | str, *parts: bytes | memoryview | Iterable[bytes], synced: bool = True) -> None:
    """Write a new file and, if it is to be ``synced``, see it to the disk."""
    with open(path, "xb") as file:
        for part in parts:
            file.writelines([part] if isinstance(part, (bytes, memoryview)) else part)
        file.flush()
        if synced:
            os.fsync(file.fileno())


def sync_directory(directory: Path | str) -> None:
    """Make a rename last through a power cut (a no-op where directories cannot be opened, as on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
